// Started by catalog.sqlite.test.ts, several at once: commits to one table COUNT times and prints what it swapped in.
import { openSqliteCatalog } from '../../lib/local/sqlite-catalog.ts'
import { DESCRIPTION } from './description.ts'

const [path, me, count] = process.argv.slice(2) as [string, string, string]
const catalog = openSqliteCatalog(path)
const id = { namespace: 'ns', name: 't' }
await catalog.create(id, '0', DESCRIPTION)
const won: string[] = []
while (won.length < Number(count)) {
  const pointer = await catalog.load(id)
  if (pointer === undefined) throw new Error('the table is gone')
  // Names how many commits came before it: two winners on one base would give one number twice.
  const next = `${Number.parseInt(pointer.metadataLocation, 10) + 1} by ${me}`
  if (await catalog.swap(id, pointer, next)) won.push(next)
}
catalog.close()
process.stdout.write(JSON.stringify(won))
