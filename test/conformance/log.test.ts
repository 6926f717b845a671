import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSqliteLog, type SqliteLog } from '../../lib/local/sqlite-log.ts'
import { memoryLog } from '../../lib/ports/memory/log.ts'
import { describeLog } from './log.ts'

describeLog('memory', async () => {
  const log = memoryLog()
  return { log, second: async () => log, reopened: async () => log, close: async () => {} }
})

describeLog('SQLite', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'frazil log '))
  const open: SqliteLog[] = []
  const opened = () => {
    const log = openSqliteLog(join(dir, 'new', 'logs.db'))
    open.push(log)
    return log
  }
  const closeAll = () => {
    for (const log of open.splice(0)) log.close()
  }
  return {
    log: opened(),
    second: async () => opened(),
    reopened: async () => {
      closeAll()
      return opened()
    },
    close: async () => {
      closeAll()
      await rm(dir, { recursive: true })
    },
  }
})
