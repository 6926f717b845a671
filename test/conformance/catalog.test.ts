import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSqliteCatalog, type SqliteCatalog } from '../../lib/local/sqlite-catalog.ts'
import { memoryCatalog } from '../../lib/ports/memory/catalog.ts'
import { describeCatalog } from './catalog.ts'

describeCatalog('memory', async () => {
  const catalog = memoryCatalog()
  return { catalog, second: async () => catalog, reopened: async () => catalog, close: async () => {} }
})

describeCatalog('SQLite', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'frazil catalog '))
  const open: SqliteCatalog[] = []
  const opened = () => {
    const catalog = openSqliteCatalog(join(dir, 'new', 'catalog.db'))
    open.push(catalog)
    return catalog
  }
  const closeAll = () => {
    for (const catalog of open.splice(0)) catalog.close()
  }
  return {
    catalog: opened(),
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
