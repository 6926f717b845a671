#!/usr/bin/env node
// Nothing is imported before this check: what follows needs modules and syntax that older versions lack.
if (Number.parseInt(process.versions.node, 10) < 24) {
  process.stderr.write(
    `error: Cannot run on Node ${process.versions.node}: expected 24 or newer. Install it, or put it before the command: npx -p node@24 frazil …\n`,
  )
  process.exit(2)
}

// `npm run frazil` changes to the root of the checkout; relative paths, in SQL too, are meant from where the user stands.
const { npm_lifecycle_event: script, INIT_CWD: from } = process.env
if (script === 'frazil' && from !== undefined && import.meta.url.endsWith('.ts')) process.chdir(from)

import('./program.ts').then(({ main }) => main(process.argv.slice(2))).then((code) => process.exit(code))
