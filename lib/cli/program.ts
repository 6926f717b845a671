import { readFileSync } from 'node:fs'
import { Command, CommanderError, Option } from 'commander'
import { invalidPipeline, usage } from '../errors.ts'
import type { WarehouseFlags } from './arguments.ts'
import type { CostFlags } from './cost.ts'
import { EXIT, endWithoutReader, flushed, type Output, outputOf, reportFailure } from './output.ts'
import type { PlanFlags } from './plan.ts'
import type { QueryFlags } from './query.ts'
import type { RunFlags } from './run.ts'

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

/** Every command, for the tests that walk them. `finished` takes the exit code of the one that ran. */
export function createProgram(json: boolean, finished: (code: number) => void): Command {
  const program = new Command('frazil')
    .description('A streaming lakehouse: Kafka topics in, Iceberg tables out, exactly once.')
    .version(version(), '--version', 'print the version')
    .helpCommand(true)
    .showSuggestionAfterError()
    .exitOverride()
    // Errors are ours to print, in our words; help that nobody asked for is no data.
    .configureOutput({ writeErr: (text) => void (json || isError(text) || process.stderr.write(text)), outputError: () => {} })
  const command = (name: string, description: string) => program.command(name).description(description).exitOverride()
  const done = (action: (output: Output) => Promise<number>) => action(outputOf(json)).then(finished)

  command('run', 'run a whole pipeline in this process: read, decide, commit')
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

  command('plan', 'say what the next run or deployment of a pipeline would change in tables; write nothing')
    .argument('<pipeline>', 'TypeScript file whose default export is a pipeline')
    .addOption(warehouseOption())
    .addOption(catalogOption())
    .option('--log-table <name>', 'with --catalog glue: DynamoDB table of the logs (default: FRAZIL_LOG_TABLE or frazil)')
    .option('--staging <location>', 'with --catalog glue: where state lies (default: .frazil/staging/ in the warehouse)')
    .option('--exit-code', 'exit with 1 when something would change', false)
    .action((file: string, flags: PlanFlags) =>
      done(async (output) => (await import('./plan.ts')).planCommand(file, flags, output)),
    )

  command('query', 'ask the tables of a warehouse in SQL (DuckDB)')
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

  command('tables', 'list the tables of a warehouse: rows, files, bytes, snapshots, markers')
    .addOption(warehouseOption())
    .addOption(catalogOption())
    .action((flags: WarehouseFlags) => done(async (output) => (await import('./tables.ts')).tablesCommand(flags, output)))

  command('cost', 'what a pipeline costs on AWS for a load, line by line, beside other services')
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
