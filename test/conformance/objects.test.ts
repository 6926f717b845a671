import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileLocation, fileObjects } from '../../lib/local/files.ts'
import { memoryObjects } from '../../lib/ports/memory/objects.ts'
import { describeObjects } from './objects.ts'

describeObjects('memory', async () => ({ objects: memoryObjects(), base: 'memory://x/', close: async () => {} }))

describeObjects('files', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'frazil objects %20 '))
  return {
    objects: fileObjects(dir),
    base: `${fileLocation(dir)}/`,
    close: () => rm(dir, { recursive: true }),
  }
})
