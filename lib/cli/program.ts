import { readFileSync } from 'node:fs'
import { Command, CommanderError, Option } from 'commander'
import { invalidPipeline, usage } from '../errors.ts'
import type { WarehouseFlags } from './arguments.ts'
import type { CompactFlags } from './compact.ts'
import type { CostFlags } from './cost.ts'
import type { ExpireFlags } from './expire.ts'
import type { FilesFlags } from './files.ts'
import type { OrphansFlags } from './orphans.ts'
import { EXIT, endWithoutReader, flushed, type Output, outputOf, reportFailure } from './output.ts'
import type { PlanFlags } from './plan.ts'
import type { QueryFlags } from './query.ts'
import type { RunFlags } from './run.ts'
import type { TrimFlags } from './trim.ts'

/**
 * The `frazil` command. Commands are declared here and live in a file each, loaded when called: `--version` and `--help` must
 * not wait for DuckDB. Resolves to the exit code.
 */
export async function main(args: readonly string[]): Promise<number> {
  const json = asksForJson(args)
  endWithoutReader(json)
  // An await that nothing can ever settle, in a pipeline file, would end Node without a word.
  process.once('beforeExit', () => process.exit(reportFailure(invalidPipeline(NEVER_SETTLED), json)))
  let code: number = EXIT.fine
  const program = createProgram(json, (result) => {
    code = result
  })
  try {
    await program.parseAsync(args, { from: 'user' })
  } catch (error) {
    code = error instanceof CommanderError ? reportArguments(error, args, json, program) : reportFailure(error, json)
  }
  await flushed()
  return code
}

const NEVER_SETTLED = 'Cannot go on: something awaits what will never come. Look at the await at the top of the pipeline file.'

/** Headings of the list of commands, in its order. */
const GROUPS = {
  run: 'Run:',
  look: 'Look:',
  small: 'Keep small:',
  plan: 'Plan and cost:',
} as const

/** Every command, for the tests that walk them. `finished` takes the exit code of the one that ran. */
export function createProgram(json: boolean, finished: (code: number) => void): Command {
  const program = new Command('frazil')
    .description('A streaming lakehouse: Kafka topics in, Iceberg tables out, exactly once.')
    .version(version(), '--version', 'print the version')
    .commandsGroup('Help:')
    .helpCommand(true)
    .showSuggestionAfterError()
    .exitOverride()
    // Errors are ours to print, in our words; help that nobody asked for is no data.
    .configureOutput({ writeErr: (text) => void (json || isError(text) || process.stderr.write(text)), outputError: () => {} })
  const command = (name: string, group: keyof typeof GROUPS, description: string) =>
    program.command(name).description(description).helpGroup(GROUPS[group]).exitOverride()
  const done = (action: (output: Output) => Promise<number>) => action(outputOf(json)).then(finished)

  command('run', 'run', 'run a whole pipeline in this process: read, decide, commit')
    .argument('<pipeline>', 'TypeScript file whose default export is a pipeline')
    .addOption(warehouseOption())
    .addOption(catalogOption())
    .option(
      '--log-table <name>',
      'with --catalog glue: DynamoDB table of the logs, made when missing (default: FRAZIL_LOG_TABLE or frazil)',
    )
    .option(
      '--staging <location>',
      'with --catalog glue: where segments and state lie (default: .frazil/staging/ in the warehouse)',
    )
    .option('--input <file>', 'read a file of JSON values, one a line, spread over partitions')
    .option('--partitions <n>', 'with --input: how many partitions to spread over')
    .option('--events <file>', 'read a file of Lambda events of Kafka, one a line')
    .option('--brokers <host:port,…>', 'read the topic from Kafka')
    .option('--kafka-config <file>', 'with --brokers: client properties for TLS and SASL, name=value a line')
    .option('--until-end', 'stop when all is read, closing every window', false)
    .option('--commit-interval <duration>', 'the longest that staged rows wait for a commit: 500ms, 1s, 2m', '1s')
    .action((file: string, flags: RunFlags) => done(async (output) => (await import('./run.ts')).runCommand(file, flags, output)))

  command('query', 'look', 'ask the tables of a warehouse in SQL (DuckDB)')
    .argument(
      '<sql>',
      "one statement; tables are namespace.table, with FOR VERSION AS OF id or FOR TIMESTAMP AS OF 'time' after them",
    )
    .addOption(warehouseOption())
    .addOption(catalogOption())
    .addOption(new Option('--format <format>', 'how rows are written').choices(['table', 'json', 'csv']))
    .action((sql: string, flags: QueryFlags) =>
      done(async (output) => (await import('./query.ts')).queryCommand(sql, flags, output)),
    )

  command('tables', 'look', 'list the tables of a warehouse: rows, files, bytes, snapshots, markers')
    .addOption(warehouseOption())
    .addOption(catalogOption())
    .action((flags: WarehouseFlags) => done(async (output) => (await import('./tables.ts')).tablesCommand(flags, output)))

  command('inspect', 'look', 'what a table is and how it does: columns, layout, properties, health, and what to run')
    .argument('<table>', TABLE)
    .addOption(warehouseOption())
    .addOption(catalogOption())
    .option('--log-table <name>', 'with --catalog glue: DynamoDB table of the logs to compare with (default: FRAZIL_LOG_TABLE)')
    .option('--staging <location>', 'with --catalog glue: where checkpoints lie (default: .frazil/staging/ in the warehouse)')
    .action((table: string, flags: WarehouseFlags) =>
      done(async (output) => (await import('./inspect.ts')).inspectCommand(table, flags, output)),
    )

  command('snapshots', 'look', 'list the snapshots of a table: what each changed, its marker and watermark')
    .argument('<table>', TABLE)
    .addOption(warehouseOption())
    .addOption(catalogOption())
    .action((table: string, flags: WarehouseFlags) =>
      done(async (output) => (await import('./snapshots.ts')).snapshotsCommand(table, flags, output)),
    )

  command('files', 'look', 'list the files of a table: partition, rows, size, sort order')
    .argument('<table>', TABLE)
    .addOption(warehouseOption())
    .addOption(catalogOption())
    .option('--snapshot <id>', 'as they were at a snapshot (default: the current one)')
    .option('--partition <text>', 'only partitions whose name has this in it: 2026-01-01')
    .action((table: string, flags: FilesFlags) =>
      done(async (output) => (await import('./files.ts')).filesCommand(table, flags, output)),
    )

  command('audit', 'look', 'prove that each offset landed exactly once; exit with 1 on a finding')
    .argument('<pipeline>', 'TypeScript file whose default export is a pipeline')
    .addOption(warehouseOption())
    .addOption(catalogOption())
    .option('--log-table <name>', 'with --catalog glue: DynamoDB table of the logs (default: FRAZIL_LOG_TABLE or frazil)')
    .option('--staging <location>', 'with --catalog glue: where state lies (default: .frazil/staging/ in the warehouse)')
    .action((file: string, flags: WarehouseFlags) =>
      done(async (output) => (await import('./audit.ts')).auditCommand(file, flags, output)),
    )

  command('compact', 'small', 'rewrite the small files of a table into large ones; say so only, without --apply')
    .argument('<table>', TABLE)
    .addOption(warehouseOption())
    .addOption(catalogOption())
    .addOption(
      new Option(
        '--strategy <strategy>',
        "by the table's sort order, or rows as they come (default: sort where it has one)",
      ).choices(['binpack', 'sort']),
    )
    .option('--target-file-size <size>', "128MB, 512MiB (default: the table's write.target-file-size-bytes, else 512MiB)")
    .option('--min-input-files <n>', 'fewer, at least 2, stay as they are, unless they fill a whole file (default: 5)')
    .option('--hot', 'also what got files in the last hour: partitions by time, elsewhere the files themselves', false)
    .option('--manifests', 'merge manifests even where they are few', false)
    .option('--apply', 'do it', false)
    .action((table: string, flags: CompactFlags) =>
      done(async (output) => (await import('./compact.ts')).compactCommand(table, flags, output)),
    )

  command('expire', 'small', 'let go of old snapshots and of the files that only they need; say so only, without --apply')
    .argument('<table>', TABLE)
    .addOption(warehouseOption())
    .addOption(catalogOption())
    .option('--older-than <age>', "snapshots older than this go: 12h, 7d (default: the table's own, else 7d)")
    .option('--retain-last <n>', "so many of the newest stay, however old (default: the table's own, else 10)")
    .option(
      '--thin-after <age>',
      'of snapshots older than this one an hour stays (default: 1d, unless the table has an age of its own)',
    )
    .option('--no-thin', 'keep all that are young enough')
    .option('--rows-older-than <age>', 'first drop rows: whole partitions that ended longer ago')
    .option('--apply', 'do it', false)
    .action((table: string, flags: ExpireFlags) =>
      done(async (output) => (await import('./expire.ts')).expireCommand(table, flags, output)),
    )

  command('orphans', 'small', "find files below a table's location that nothing names; quarantine, then delete them with --apply")
    .argument('<table>', TABLE)
    .addOption(warehouseOption())
    .addOption(catalogOption())
    .option(
      '--log-table <name>',
      'with --catalog glue: DynamoDB table of the logs, which tell of commits (default: FRAZIL_LOG_TABLE)',
    )
    .option('--staging <location>', 'with --catalog glue: where checkpoints lie (default: .frazil/staging/ in the warehouse)')
    .option('--older-than <age>', 'leave files alone that are younger, at least 1h', '3d')
    .option('--quarantine <age>', 'how long a file waits on a list before it is deleted; 0s: not at all', '1d')
    .option('--apply', 'do it', false)
    .action((table: string, flags: OrphansFlags) =>
      done(async (output) => (await import('./orphans.ts')).orphansCommand(table, flags, output)),
    )

  command('trim', 'small', 'delete what logs and staging hold that no checkpoint needs any more; say so only, without --apply')
    .argument('<pipeline>', 'TypeScript file whose default export is a pipeline')
    .addOption(warehouseOption())
    .addOption(catalogOption())
    .option('--log-table <name>', 'with --catalog glue: DynamoDB table of the logs (default: FRAZIL_LOG_TABLE or frazil)')
    .option(
      '--staging <location>',
      'with --catalog glue: where segments and state lie (default: .frazil/staging/ in the warehouse)',
    )
    .option('--older-than <age>', 'leave objects alone that are younger: 12h, 3d', '3d')
    .option('--apply', 'delete it', false)
    .action((file: string, flags: TrimFlags) =>
      done(async (output) => (await import('./trim.ts')).trimCommand(file, flags, output)),
    )

  command('plan', 'plan', 'say what the next run or deployment of a pipeline would change in tables; write nothing')
    .argument('<pipeline>', 'TypeScript file whose default export is a pipeline')
    .addOption(warehouseOption())
    .addOption(catalogOption())
    .option('--log-table <name>', 'with --catalog glue: DynamoDB table of the logs (default: FRAZIL_LOG_TABLE or frazil)')
    .option('--staging <location>', 'with --catalog glue: where state lies (default: .frazil/staging/ in the warehouse)')
    .option('--exit-code', 'exit with 1 when something would change', false)
    .action((file: string, flags: PlanFlags) =>
      done(async (output) => (await import('./plan.ts')).planCommand(file, flags, output)),
    )

  command('cost', 'plan', 'what a pipeline costs on AWS for a load, line by line, beside other services')
    .argument('<pipeline>', 'TypeScript file whose default export is a pipeline')
    .option('--rate <records/s>', 'records a second, of all topics together; 0.5 is one in two seconds (required)')
    .option('--size <bytes>', 'bytes of a value, on average (required)')
    .option('--partitions <n>', "of each topic (default: the definition's, else 4)")
    .option('--keys <n>', 'distinct keys in a window', '1000')
    .option('--batch-window <duration>', 'how long the event source mapping gathers records, at most 5m', '5s')
    .option('--commit-interval <duration>', 'how often commit is called', '1m')
    .option('--pollers <n>', 'event pollers of a mapping in provisioned mode, at least so many (default: on demand)')
    .action((file: string, flags: CostFlags) =>
      done(async (output) => (await import('./cost.ts')).costCommand(file, flags, output)),
    )

  // One hook for all: every command takes it, before or after its name.
  for (const each of [program, ...program.commands])
    each.option('--json', 'write data as JSON on stdout, errors as JSON on stderr')
  return program
}

const TABLE = 'namespace.table, or table where that is unique'

/** Not mandatory for commander: it would complain of that before it looks at a misspelt option. */
const warehouseOption = () =>
  new Option('--warehouse <dir>', 'directory of the warehouse; with --catalog glue s3://bucket/prefix (required)')
const catalogOption = () =>
  new Option('--catalog <catalog>', 'where tables are named: sqlite is in the directory, glue on AWS').choices(['sqlite', 'glue'])

/** Known before parsing: what parsing refuses must be said in JSON too. */
function asksForJson(args: readonly string[]): boolean {
  const end = args.indexOf('--')
  return args.slice(0, end < 0 ? args.length : end).includes('--json')
}

const isError = (text: string) => text.startsWith('error:')

function reportArguments(error: CommanderError, args: readonly string[], json: boolean, program: Command): number {
  if (error.exitCode === 0) return EXIT.fine
  const named = program.commands.find((command) => args.includes(command.name()))
  const help = named === undefined ? 'frazil --help lists the commands.' : `frazil ${named.name()} --help lists its options.`
  if (error.code === 'commander.help')
    return json ? reportFailure(usage('Cannot run: expected a command, found none.'), json) : EXIT.couldNotRun
  const found = error.message.replace(/^error: /, '').replace(/\n\((.*)\)$/, ' ($1)')
  return reportFailure(usage(`Cannot read the command line: ${found.replace(/\.$/, '')}.`), json, help)
}

function version(): string {
  const text = readFileSync(new URL(import.meta.resolve('frazil/package.json')), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
