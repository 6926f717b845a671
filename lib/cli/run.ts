import { usage } from '../errors.ts'
import { readKafkaConfig } from '../local/kafka-config.ts'
import type { RunSource, RunSummary } from '../local/run.ts'
import type { Plan } from '../pipeline/plan.ts'
import { MAX_PARTITIONS } from '../pipeline/source.ts'
import {
  existingFile,
  parseBrokers,
  parseCount,
  parseDuration,
  shownWarehouse,
  type WarehouseFlags,
  warehouseOf,
} from './arguments.ts'
import { counted, shownBytes, shownCount, shownDuration, shownMillis } from './format.ts'
import { interruption } from './interruption.ts'
import { COMMAND, EXIT, type Output } from './output.ts'
import { progressDisplay } from './progress.ts'
import { renderTable } from './table.ts'

export interface RunFlags extends WarehouseFlags {
  readonly input?: string
  readonly partitions?: string
  readonly events?: string
  readonly brokers?: string
  readonly kafkaConfig?: string
  readonly untilEnd: boolean
  readonly commitInterval: string
}

/** `frazil run`: the whole pipeline in this process. Interrupted once it stops cleanly, twice at once. */
export async function runCommand(pipelineFile: string, flags: RunFlags, output: Output): Promise<number> {
  // All that can be wrong is looked at before the warehouse is made.
  const warehouse = warehouseOf(flags)
  const source = sourceOf(flags)
  const commitIntervalMs = parseDuration('--commit-interval', flags.commitInterval)
  const { loadPipeline } = await import('./load-pipeline.ts')
  const plan = await loadPipeline(pipelineFile)
  const { run } = await import('../local/run.ts')

  const interrupt = new AbortController()
  const signals = interruption(() => {
    interrupt.abort()
    output.note('\nStopping: committing what is staged. Interrupt again to stop at once.')
  })
  const display = progressDisplay(process.stderr, output.json)
  let summary: RunSummary
  try {
    summary = await run({
      plan,
      warehouse,
      source,
      untilEnd: flags.untilEnd,
      commitIntervalMs,
      signal: interrupt.signal,
      onProgress: display.show,
    })
  } finally {
    display.end()
    signals.end()
  }
  const interrupted = interrupt.signal.aborted
  if (output.json) await output.data(`${JSON.stringify(summaryJson(plan, shownWarehouse(warehouse), interrupted, summary))}\n`)
  else {
    await output.data(summaryText(plan, interrupted, summary))
    const complaint = mostlyDeadLetters(plan, flags, summary)
    if (complaint !== undefined) output.note(complaint)
    output.note(nextSteps(plan, shownWarehouse(warehouse), flags))
  }
  return interrupted ? EXIT.interrupted : EXIT.fine
}

function sourceOf(flags: RunFlags): RunSource {
  const given = (['input', 'events', 'brokers'] as const).filter((name) => flags[name] !== undefined)
  if (given.length !== 1)
    throw usage(
      `Cannot run: expected one of --input, --events and --brokers, found ${given.map((name) => `--${name}`).join(' and ') || 'none'}. Name one source.`,
    )
  if (flags.partitions !== undefined && flags.input === undefined)
    throw usage(`Cannot run: --partitions goes with --input, found it with --${given[0]}. Leave it out.`)
  if (flags.kafkaConfig !== undefined && flags.brokers === undefined)
    throw usage(`Cannot run: --kafka-config goes with --brokers, found it with --${given[0]}. Leave it out.`)
  const partitions = flags.partitions === undefined ? undefined : parseCount('--partitions', flags.partitions, MAX_PARTITIONS)
  if (flags.input !== undefined) return { kind: 'input', file: existingFile('--input', flags.input), partitions }
  if (flags.events !== undefined) return { kind: 'events', file: existingFile('--events', flags.events) }
  const security = flags.kafkaConfig === undefined ? {} : readKafkaConfig(existingFile('--kafka-config', flags.kafkaConfig))
  return { kind: 'brokers', brokers: parseBrokers(flags.brokers ?? ''), security }
}

function summaryJson(plan: Plan, warehouse: string, interrupted: boolean, summary: RunSummary) {
  const { phase: _, watermarkMs, startupMs, elapsedMs, tables, ...counts } = summary
  return {
    pipeline: plan.name,
    warehouse,
    interrupted,
    ...counts,
    watermark: watermarkMs === null ? null : shownMillis(watermarkMs),
    startupMs: Math.round(startupMs),
    elapsedMs: Math.round(elapsedMs),
    tables: Object.fromEntries(Object.entries(tables).map(([name, rows]) => [`${plan.namespace}.${name}`, rows])),
  }
}

function summaryText(plan: Plan, interrupted: boolean, summary: RunSummary): string {
  const { records, late, deadLetters, missing, files, fileBytes, elapsedMs, startupMs, watermarkMs, tables } = summary
  const readingMs = elapsedMs - startupMs
  const ended = `${interrupted ? 'Interrupted' : 'Done'} in ${shownDuration(elapsedMs)}`
  const noWatermark = interrupted ? 'no watermark yet' : 'no watermark: no record had an event time'
  const rows = Object.entries(tables).map(([name, count]) => [`${plan.namespace}.${name}`, shownCount(count)])
  const columns = [
    { name: 'table', right: false },
    { name: 'rows', right: true },
  ]
  const counts = [counted(deadLetters, 'dead letter'), counted(late, 'late row'), `${counted(missing, 'offset')} missing`]
  const lines = [
    ...(records === 0
      ? [`${ended}: there was nothing new to read`]
      : [
          `${ended}: ${shownCount((records / readingMs) * 1000)} records/s after ${shownDuration(startupMs)} of start-up`,
          `${counted(records, 'record')}: ${counts.join(', ')}`,
        ]),
    `${counted(files, 'data file')} written, ${shownBytes(fileBytes)}; checkpoint ${summary.checkpoint}`,
    watermarkMs === null ? noWatermark : `watermark ${shownMillis(watermarkMs)}`,
    '',
    renderTable(columns, rows),
  ]
  return lines.join('\n')
}

/** Reasons that a file of another form gives most of its lines. */
const WRONG_FORM = ['invalid_json', 'not_an_object', 'empty_value']

/** Dead letters are data; that most of the input became such is a mistake, as a rule, and must not look like success. */
function mostlyDeadLetters(plan: Plan, flags: RunFlags, summary: RunSummary): string | undefined {
  const { records, deadLetters, reasons } = summary
  if (records === 0 || deadLetters * 2 < records) return undefined
  const [reason, count] = Object.entries(reasons).reduce((most, next) => (next[1] > most[1] ? next : most))
  const tables = new Set(Object.values(plan.sources).map((source) => source.deadLetters))
  const form = flags.input !== undefined && WRONG_FORM.includes(reason) ? ' --input takes one JSON object a line.' : ''
  const queries = [...tables].map(
    (table) =>
      `  ${COMMAND} query "SELECT reason, detail, try(decode(value)) AS value FROM ${plan.namespace}.${table} LIMIT 10" ${whereOf(flags)}`,
  )
  return [
    `\nnote: ${shownCount(deadLetters)} of ${counted(records, 'record')} became dead letters, ${shownCount(count)} of them ${reason}.${form} See them:`,
    ...queries,
  ].join('\n')
}

/** The options that name this run's warehouse to another command. */
const whereOf = (flags: RunFlags): string =>
  `${flags.catalog === 'glue' ? '--catalog glue ' : ''}--warehouse ${shellWord(flags.warehouse ?? '')}`

function nextSteps(plan: Plan, warehouse: string, flags: RunFlags): string {
  const where = whereOf(flags)
  const table = `${plan.namespace}.${Object.keys(plan.tables)[0]}`
  return [
    `\nWarehouse: ${warehouse}`,
    'Next:',
    `  ${COMMAND} tables ${where}`,
    `  ${COMMAND} query "SELECT * FROM ${table} LIMIT 10" ${where}`,
  ].join('\n')
}

const shellWord = (text: string) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)
