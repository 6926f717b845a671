// Started by sqlite-log.test.ts, several at once: fights for every slot of one log and prints the slots it won.
import { openSqliteLog } from '../../lib/local/sqlite-log.ts'

const [path, me, count] = process.argv.slice(2) as [string, string, string]
const log = openSqliteLog(path)
const won: number[] = []
for (let slot = 1; slot <= Number(count); slot++) {
  const result = await log.put('race', slot, me)
  if (result.won) won.push(slot)
  else if (result.existing === me) throw new Error(`slot ${slot}: lost to itself`)
}
log.close()
process.stdout.write(JSON.stringify(won))
