import { type Stats, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { messageOf, usage } from '../errors.ts'
import type { WarehouseAt } from '../local/warehouse.ts'

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
/** Timers take 31 bits of milliseconds; nobody waits longer. */
const MAX_DURATION_MS = 2 ** 31 - 1

/** Milliseconds of `500ms`, `1s`, `2m`, `1.5h`, `7d`. Throws `Usage`. */
export function parseDuration(option: string, text: string): number {
  const found = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text)
  const ms = found === null ? Number.NaN : Math.round(Number(found[1]) * UNIT_MS[found[2]])
  if (!(ms >= 1 && ms <= MAX_DURATION_MS))
    throw usage(`Cannot read ${option}: expected a duration such as 500ms, 1s or 2m, found '${text}'.`)
  return ms
}

/** A Date reaches no further back from today. */
const MAX_AGE_MS = 1000 * 365 * UNIT_MS.d

/** Milliseconds of an age such as `12h` or `90d`, from `leastMs`. Nobody waits for it, so it may be long. Throws `Usage`. */
export function parseAge(option: string, text: string, leastMs = 1): number {
  const found = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text)
  const ms = found === null ? Number.NaN : Math.round(Number(found[1]) * UNIT_MS[found[2]])
  if (Number.isNaN(ms) || ms > MAX_AGE_MS)
    throw usage(`Cannot read ${option}: expected an age such as 30m, 12h or 7d, found '${text}'.`)
  if (ms < leastMs) throw usage(`Cannot read ${option}: expected at least ${shownAge(leastMs)}, found '${text}'.`)
  return ms
}

/** `7d`, `90m`: as `parseAge` takes it, in the largest unit that it is whole in. */
export function shownAge(ms: number): string {
  const [unit, unitMs] = Object.entries(UNIT_MS).findLast(([, each]) => ms >= each && ms % each === 0) ?? ['ms', 1]
  return `${ms / unitMs}${unit}`
}

const UNIT_BYTES: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
}

/** Bytes of `512MB`, `64MiB`, `1.5GB` or `1000000`, from `least`: `MB` are 1,000,000, `MiB` 1,048,576. Throws `Usage`. */
export function parseSize(option: string, text: string, least: number): number {
  const found = /^(\d+(?:\.\d+)?)(B|kB|MB|GB|KiB|MiB|GiB)?$/.exec(text)
  const bytes = found === null ? Number.NaN : Math.round(Number(found[1]) * UNIT_BYTES[found[2] ?? ''])
  if (!Number.isSafeInteger(bytes))
    throw usage(`Cannot read ${option}: expected a size such as 128MB, 64MiB or a number of bytes, found '${text}'.`)
  if (bytes < least) throw usage(`Cannot read ${option}: expected at least ${least} bytes, found '${text}'.`)
  return bytes
}

/** `512 MiB`: a size that is set, as `parseSize` takes it; sizes that are measured go by powers of 1,000. */
export function shownSize(bytes: number): string {
  const [unit, unitBytes] = SETTING_UNITS.find(([, each]) => bytes >= each && bytes % each === 0) ?? ['MiB', UNIT_BYTES.MiB]
  return `${new Intl.NumberFormat('en-US', { maximumFractionDigits: 1 }).format(bytes / unitBytes)} ${unit}`
}

const SETTING_UNITS = [
  ['MiB', UNIT_BYTES.MiB],
  ['MB', UNIT_BYTES.MB],
] as const

/** A whole number from `least` to `most`. Throws `Usage`. */
export function parseCount(option: string, text: string, most: number, least = 1): number {
  const count = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (!(count >= least && count <= most))
    throw usage(`Cannot read ${option}: expected a whole number from ${least} to ${most}, found '${text}'.`)
  return count
}

/** `host:port` pairs, separated by commas. Throws `Usage`. */
export function parseBrokers(text: string): readonly string[] {
  const brokers = text.split(',').map((broker) => broker.trim())
  for (const broker of brokers) {
    const port = Number(/^(?:\[[^\]]+\]|[^\s:/[\]]+):(\d{1,5})$/.exec(broker)?.[1])
    if (!(port >= 1 && port <= 65_535))
      throw usage(`Cannot read --brokers: expected host:port, several separated by commas, found '${broker}'.`)
  }
  return brokers
}

/** What is at a path; undefined when nothing is. Throws `Usage` when it may not be looked at. */
export function infoOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch (cause) {
    throw usage(`Cannot look at ${path}: ${messageOf(cause)}. Check its permissions.`, { cause })
  }
}

/** The absolute path of a file that is there. Throws `Usage`; `what` says which: "the input file". */
export function existingFile(what: string, path: string, remedy = 'Check the path.'): string {
  const file = resolve(path)
  const info = infoOf(file)
  if (info === undefined) throw usage(`Cannot read ${what}: expected a file at ${file}, found nothing. ${remedy}`)
  if (info.isDirectory()) throw usage(`Cannot read ${what}: expected a file at ${file}, found a directory. Name a file in it.`)
  return file
}

/** The options that say where a warehouse is. */
export interface WarehouseFlags {
  readonly warehouse?: string
  readonly catalog?: 'sqlite' | 'glue'
  readonly logTable?: string
  readonly staging?: string
}

/** The DynamoDB table of the logs when neither `--log-table` nor `FRAZIL_LOG_TABLE` names one. */
const DEFAULT_LOG_TABLE = 'frazil'

/** The warehouse that every command needs: a directory, or with `--catalog glue` a place on S3. Throws `Usage`. */
export function warehouseOf({ warehouse, catalog, logTable, staging }: WarehouseFlags): WarehouseAt {
  if (warehouse === undefined || warehouse === '')
    throw usage('Cannot run: expected --warehouse DIR, found none. Name the directory of the warehouse.')
  if (catalog !== 'glue') {
    if (/^s3a?:\/\//.test(warehouse))
      throw usage(`Cannot use warehouse ${warehouse}: on S3 it goes with --catalog glue. Add that option.`)
    const given = logTable !== undefined ? '--log-table' : staging !== undefined ? '--staging' : undefined
    if (given !== undefined) throw usage(`Cannot run: ${given} goes with --catalog glue. Leave it out, or add that option.`)
    return { kind: 'directory', dir: resolve(warehouse) }
  }
  const location = onS3('--warehouse', warehouse)
  return {
    kind: 'aws',
    location,
    staging: staging === undefined ? `${location}.frazil/staging/` : onS3('--staging', staging),
    logTable: logTable ?? process.env.FRAZIL_LOG_TABLE ?? DEFAULT_LOG_TABLE,
  }
}

/** `s3://bucket/prefix/` with its slash at the end. */
function onS3(option: string, text: string): string {
  const found = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/.exec(text)
  const prefix = (found?.[2] ?? '').replace(/\/+$/, '')
  if (found === null || prefix.split('/').some((part, i) => part === '' && i > 0))
    throw usage(`Cannot use ${option} ${text}: with --catalog glue expected s3://bucket/prefix, found another form.`)
  return `s3://${found[1]}/${prefix === '' ? '' : `${prefix}/`}`
}

/** A warehouse as people name it. */
export const shownWarehouse = (at: WarehouseAt): string => (at.kind === 'aws' ? at.location.replace(/\/$/, '') : at.dir)
