// Started by run-lock.test.ts: takes the lock of a warehouse, says so, and holds it until it is killed.
import { takeRunLock } from '../../lib/local/run-lock.ts'

takeRunLock(process.argv[2] as string)
process.stdout.write('held\n')
setInterval(() => {}, 1 << 30)
