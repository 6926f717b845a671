#!/usr/bin/env node
// Nothing is imported before this check: what follows needs modules and syntax that older versions lack.
if (Number.parseInt(process.versions.node, 10) < 24) {
  process.stderr.write(
    `error: Cannot run on Node ${process.versions.node}: expected 24 or newer. Install it, or run "npx -p node@24 -- frazil …".\n`,
  )
  process.exit(2)
}
const { main } = await import('./program.ts')
process.exit(await main(process.argv.slice(2)))
