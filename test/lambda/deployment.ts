import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { DeleteTableCommand } from '@aws-sdk/client-dynamodb'
import { DeleteDatabaseCommand, DeleteTableCommand as DeleteTableCommandOfGlue } from '@aws-sdk/client-glue'
import { CreateBucketCommand } from '@aws-sdk/client-s3'
import { parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { type FunctionName, planModule } from '../../functions/bundle.ts'
import type { ClientOptions } from '../../lib/aws/clients.ts'
import { dynamoClient, openDynamoLog } from '../../lib/aws/dynamo-log.ts'
import { createLogTable } from '../../lib/aws/dynamo-table.ts'
import { glueClient, openGlueCatalog } from '../../lib/aws/glue-catalog.ts'
import { openS3Objects, s3Client } from '../../lib/aws/s3-objects.ts'
import { loadTable, planFiles } from '../../lib/iceberg/scan.ts'
import { systemClock, systemRandom } from '../../lib/local/system.ts'
import type { Plan } from '../../lib/pipeline/plan.ts'
import type { Ports } from '../../lib/runtime/runtime.ts'
import { uniqueName } from '../aws/services.ts'
import { type Gateway, openGateway } from './gateway.ts'
import { type FunctionOptions, type LambdaFunction, lambdaFunction } from './host.ts'

/** The functions of a pipeline on stores of their own. */
export interface Deployment {
  readonly gateway: Gateway
  /** What a function is told by its environment. */
  readonly environment: Readonly<Record<FunctionName, Readonly<Record<string, string>>>>
  /** The stores, without the gateway. */
  readonly ports: Ports
  /** Where the function's files are, those of its zip, with its tables in the namespace of this deployment. */
  folder(kind: FunctionName): string
  /** Functions whose calls to AWS go by the gateway. */
  start(kind: FunctionName, options?: Partial<FunctionOptions>): LambdaFunction
  /** Rows of a table, read from the files that its metadata names. */
  rows(table: string): Promise<Record<string, unknown>[]>
  /** Rows by the table's own count. */
  count(table: string): Promise<number>
  /** Empties the logs and the catalog: as before the first call of any function. */
  forget(): Promise<void>
  close(): Promise<void>
}

/** @param files bundles by function; only those can be started */
export async function deploy(
  files: Partial<Readonly<Record<FunctionName, string>>>,
  client: Required<ClientOptions>,
): Promise<Deployment> {
  const [bucket, logTable] = [uniqueName('lake'), uniqueName('log')]
  const namespace = bucket.replaceAll('-', '_')
  const gateway = await openGateway(client.endpoint)
  const s3 = s3Client(client)
  const dynamo = dynamoClient(client)
  await s3.send(new CreateBucketCommand({ Bucket: bucket }))
  await createLogTable(dynamo, logTable)
  const glue = glueClient(client)
  const objects = openS3Objects({ client: s3 })
  const log = openDynamoLog({ table: logTable, client: dynamo })
  const catalog = openGlueCatalog(client)
  const logs = { FRAZIL_LOG_TABLE: logTable, FRAZIL_STAGING: `s3://${bucket}/staging/` }
  const bare = {
    AWS_ENDPOINT_URL: gateway.endpoint,
    AWS_REGION: client.region,
    AWS_ACCESS_KEY_ID: client.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: client.credentials.secretAccessKey,
    NAMESPACE: namespace,
  }
  const withLogs = { ...bare, ...logs }
  const shared = { ...withLogs, FRAZIL_PARTITIONS: 'trades=4' }
  const withTables = { ...shared, FRAZIL_WAREHOUSE: `s3://${bucket}/tables/` }
  const environment = {
    ...{ ingest: shared, commit: withTables, provision: withTables },
    ...{ compact: bare, expire: bare, orphans: withLogs, trim: withLogs },
  }
  const own: Partial<Record<string, string>> = {}
  const fileOf = (kind: FunctionName): string => {
    const file = own[kind]
    if (file === undefined) throw new Error(`no bundle of ${kind} was deployed`)
    return file
  }
  for (const [kind, file] of Object.entries(files)) own[kind] = await inNamespace(file, namespace)
  const started: LambdaFunction[] = []
  const load = (name: string) => loadTable(catalog, objects, { namespace, name })
  return {
    gateway,
    environment,
    ports: { log, objects, catalog, random: systemRandom, clock: systemClock, broker: undefined },
    start(kind, options = {}) {
      const all = { ...options, file: fileOf(kind), environment: { ...environment[kind], ...options.environment } }
      const made = lambdaFunction(all)
      started.push(made)
      return made
    },
    folder: (kind) => dirname(fileOf(kind)),
    async rows(name) {
      const table = await load(name)
      const rows: Record<string, unknown>[] = []
      if (table === undefined) return rows
      for (const { file } of await planFiles(objects, table.metadata)) {
        const bytes = await objects.get(file.filePath)
        if (bytes === undefined) throw new Error(`no file ${file.filePath}`)
        rows.push(...(await parquetReadObjects({ file: new Uint8Array(bytes).buffer, compressors })))
      }
      return rows
    },
    async count(name) {
      const table = await load(name)
      const { snapshots, 'current-snapshot-id': current } = table?.metadata ?? { snapshots: [] }
      return Number(snapshots.find((snapshot) => snapshot['snapshot-id'] === current)?.summary['total-records'] ?? 0)
    },
    async forget() {
      await dynamo.send(new DeleteTableCommand({ TableName: logTable }))
      await createLogTable(dynamo, logTable)
      for (const { namespace: database, name } of await catalog.list())
        if (database === namespace) await glue.send(new DeleteTableCommandOfGlue({ DatabaseName: database, Name: name }))
      await glue.send(new DeleteDatabaseCommand({ Name: namespace })).catch((error) => {
        if (error.name !== 'EntityNotFoundException') throw error
      })
    },
    async close() {
      for (const one of started) one.reset()
      await gateway.close()
      objects.close()
      catalog.close()
      glue.destroy()
      s3.destroy()
      dynamo.destroy()
    },
  }
}

/** A copy of a bundle beside it, whose tables are in `namespace`. */
async function inNamespace(file: string, namespace: string): Promise<string> {
  const from = dirname(file)
  const dir = `${from}-${namespace}`
  mkdirSync(dir)
  copyFileSync(file, join(dir, 'index.mjs'))
  const { default: plan } = (await import(pathToFileURL(join(from, 'plan.mjs')).href)) as { default: Plan }
  writeFileSync(join(dir, 'plan.mjs'), planModule({ ...plan, namespace }))
  return join(dir, 'index.mjs')
}
