import { corrupt } from '../errors.ts'
import type { Runtime } from './runtime.ts'

/** A range of a staging object. Missing or short means stale or lost, never empty (protocol rule 20). */
export async function objectRange(runtime: Runtime, name: string, offset: number, length: number): Promise<Uint8Array> {
  const bytes = await runtime.ports.objects.get(runtime.staging + name, { offset, length })
  if (bytes === undefined || bytes.length !== length)
    throw corrupt(
      `Cannot read staging object ${name}: expected ${length} bytes at ${offset}, found ${bytes?.length ?? 'no object'}. Restore it; the logs still say what it held.`,
    )
  return bytes
}
