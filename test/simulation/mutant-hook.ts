import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'
import { MUTANTS } from './mutants.ts'

/**
 * Preloaded by `node --import`: edits modules as they are loaded, by the mutant that FRAZIL_MUTANT names. An edit whose
 * text is not there exactly once is a defect of the list, never a rule that needs no test.
 */
const mutant = MUTANTS.find(({ name }) => name === process.env.FRAZIL_MUTANT)
if (mutant === undefined) throw new Error(`there is no mutant ${process.env.FRAZIL_MUTANT}`)
const root = fileURLToPath(new URL('../../', import.meta.url))

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context)
    if (!url.startsWith('file:') || loaded.source === undefined || loaded.source === null) return loaded
    const file = fileURLToPath(url).slice(root.length)
    const edits = mutant.edits.filter((edit) => edit.file === file)
    if (edits.length === 0) return loaded
    let source = Buffer.from(loaded.source as Uint8Array).toString()
    for (const { find, replace } of edits) {
      if (source.split(find).length !== 2)
        throw new Error(`${mutant.name}: expected its text once in ${file}, found it ${source.split(find).length - 1} times`)
      source = source.replace(find, () => replace)
    }
    return { ...loaded, source }
  },
})
