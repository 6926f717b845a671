#!/usr/bin/env node
// Nothing is imported before this check: what follows needs modules and syntax that older versions lack.
if (Number.parseInt(process.versions.node, 10) < 24) {
  process.stderr.write(
    `error: Cannot run on Node ${process.versions.node}: expected 24 or newer. Install it, or put it before the command: npx -p node@24 frazil …\n`,
  )
  process.exit(2)
}

import('./program.ts').then(({ main }) => main(process.argv.slice(2))).then((code) => process.exit(code))
