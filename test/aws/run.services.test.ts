import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { GetDatabasesCommand, GetTableCommand } from '@aws-sdk/client-glue'
import { CreateBucketCommand } from '@aws-sdk/client-s3'
import { beforeAll, describe, expect, it } from 'vitest'
import { dynamoClient } from '../../lib/aws/dynamo-log.ts'
import { logTableExists } from '../../lib/aws/dynamo-table.ts'
import { glueClient } from '../../lib/aws/glue-catalog.ts'
import { openS3Objects, s3Client } from '../../lib/aws/s3-objects.ts'
import { REPO, TRADES, tempDir, tradesFile } from '../cli/frazil.ts'
import { ministack, REGION, uniqueName } from './services.ts'

const { endpoint } = ministack()
const dir = tempDir()
const input = tradesFile(dir, 20_000)
const local = ['--warehouse', join(dir, 'warehouse')]
const bucket = uniqueName('run')
/** An account of its own: ministack takes a key of twelve digits for one. */
const env = {
  AWS_ENDPOINT_URL: endpoint,
  AWS_REGION: REGION,
  AWS_ACCESS_KEY_ID: String(Date.now()).slice(-12),
  AWS_SECRET_ACCESS_KEY: 'test',
  AWS_EC2_METADATA_DISABLED: 'true',
  FRAZIL_LOG_TABLE: uniqueName('log'),
}
const aws = ['--catalog', 'glue', '--warehouse', `s3://${bucket}/lake/house/`]

function frazil(args: readonly string[], change: Record<string, string> = {}) {
  const main = [join(REPO, 'lib/cli/main.ts'), ...args]
  const options = { env: { PATH: process.env.PATH, HOME: dir, NO_COLOR: '1', ...env, ...change } }
  return new Promise<{ code: number; stdout: string; stderr: string }>((resolve) =>
    execFile(process.execPath, main, { ...options, maxBuffer: 64 << 20 }, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr }),
    ),
  )
}
const run = (...args: readonly string[]) => frazil(['run', TRADES, '--input', input, '--until-end', '--json', ...args])
const rows = async (sql: string, where: readonly string[]) => {
  const { code, stdout, stderr } = await frazil(['query', sql, '--json', ...where])
  if (code !== 0) throw new Error(stderr)
  return JSON.parse(stdout) as unknown[]
}

const credentials = { accessKeyId: env.AWS_ACCESS_KEY_ID, secretAccessKey: env.AWS_SECRET_ACCESS_KEY }

beforeAll(async () => {
  const s3 = s3Client({ endpoint, region: REGION, credentials })
  await s3.send(new CreateBucketCommand({ Bucket: bucket }))
  s3.destroy()
})

/** What a run leaves behind, of what there is for a table of logs and a namespace that is a prefix, too. */
async function traces(logTable: string, namespace: string): Promise<string[]> {
  const options = { endpoint, region: REGION, credentials }
  const [dynamo, glue, objects] = [dynamoClient(options), glueClient(options), openS3Objects(options)]
  try {
    const found: string[] = []
    if (await logTableExists(dynamo, logTable)) found.push('log table')
    const { DatabaseList = [] } = await glue.send(new GetDatabasesCommand({}))
    if (DatabaseList.some(({ Name }) => Name === namespace)) found.push('database')
    for await (const _ of objects.list(`s3://${bucket}/${namespace}/`)) return [...found, 'objects']
    return found
  } finally {
    dynamo.destroy()
    glue.destroy()
    objects.close()
  }
}

describe('run and query with --catalog glue', () => {
  it('give the rows of an embedded run, and a repeated run adds nothing', async () => {
    const embedded = await run(...local)
    expect(embedded.stderr).toBe('')
    for (let time = 0; time < 2; time++) {
      const { code, stdout, stderr } = await run(...aws)
      expect(stderr).toBe('')
      expect(code).toBe(0)
      expect(JSON.parse(stdout).tables).toEqual(JSON.parse(embedded.stdout).tables)
      expect(JSON.parse(stdout)).toMatchObject({ warehouse: `s3://${bucket}/lake/house`, records: time === 0 ? 20_000 : 0 })
    }
    for (const table of ['raw_trades', 'agg_1m', 'agg_1m_late', 'dead_letters']) {
      const sql = `SELECT * FROM trades.${table} ORDER BY ALL`
      expect(await rows(sql, aws)).toEqual(await rows(sql, local))
    }
  })

  it('lists the tables that lie in this warehouse, and travels in time', async () => {
    const { stdout } = await frazil(['tables', '--json', ...aws])
    const tables = JSON.parse(stdout) as { table: string; rows: number; location: string; snapshots: number }[]
    expect(tables.map(({ table }) => table)).toEqual([
      'trades.agg_1m',
      'trades.agg_1m_late',
      'trades.dead_letters',
      'trades.raw_trades',
    ])
    expect(tables[0].location).toBe(`s3://${bucket}/lake/house/trades/agg_1m`)
    const before = await frazil(['query', "SELECT * FROM trades.raw_trades FOR TIMESTAMP AS OF '2001-01-01 00:00:00'", ...aws])
    expect(before.stderr).toMatch(/expected a time at or after its first snapshot/)
    const elsewhere = await frazil(['tables', '--json', '--catalog', 'glue', '--warehouse', `s3://${bucket}/other`])
    expect(elsewhere.stdout).toBe('[]\n')
  })

  it('plans and makes a column that is new, in the table and in what Glue shows of it', async () => {
    const namespace = 'planned'
    const text = readFileSync(TRADES, 'utf8').replace('../lib/index.ts', 'frazil')
    const renamed = text.replace("pipeline('trades', {", `pipeline('${namespace}', {`)
    const [older, newer] = ['older', 'newer'].map((name) => join(dir, `${name}.ts`))
    writeFileSync(older, renamed.replace("'side', ", ''))
    writeFileSync(newer, renamed)
    const where = [...aws.slice(0, 2), '--warehouse', `s3://${bucket}/planned/`, '--log-table', uniqueName('planned')]
    const planned = async (pipeline: string, exit: number) => {
      const { code, stdout, stderr } = await frazil(['plan', pipeline, '--exit-code', '--json', ...where])
      expect({ code, stderr }).toEqual({ code: exit, stderr: '' })
      return (JSON.parse(stdout) as { table: string; change: string }[]).map(({ table, change }) => `${table} ${change}`)
    }
    const changes = (first: string, others: string) => [
      `${namespace}.raw_trades ${first}`,
      ...['agg_1m', 'agg_1m_late', 'dead_letters'].map((name) => `${namespace}.${name} ${others}`),
    ]
    expect(await planned(older, 1)).toEqual(changes('is made', 'is made'))
    expect(await traces(where[5], namespace)).toEqual([])
    const ran = async (pipeline: string, file: string) => {
      const { code, stdout, stderr } = await frazil(['run', pipeline, '--input', file, '--until-end', '--json', ...where])
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      return (JSON.parse(stdout) as { tables: Record<string, number> }).tables[`${namespace}.raw_trades`]
    }
    const grown = join(dir, 'grown.ndjson')
    const lines = readFileSync(input, 'utf8').split('\n')
    writeFileSync(grown, `${lines.slice(0, 300).join('\n')}\n`)
    const firstRows = await ran(older, grown)
    expect(await planned(newer, 1)).toEqual(changes('gets', 'stays'))
    writeFileSync(grown, `${lines.slice(0, 500).join('\n')}\n`)
    await ran(newer, grown)
    expect(await planned(newer, 0)).toEqual(changes('stays', 'stays'))
    expect(await traces(where[5], namespace)).toEqual(['log table', 'database', 'objects'])
    const glue = glueClient({ endpoint, region: REGION, credentials })
    const { Table } = await glue.send(new GetTableCommand({ DatabaseName: namespace, Name: 'raw_trades' }))
    glue.destroy()
    expect(Table?.StorageDescriptor?.Columns?.at(-1)).toMatchObject({
      Name: 'side',
      Type: 'string',
      Parameters: { 'iceberg.field.id': '8' },
    })
    const counts = `SELECT count(*) AS n, count(side) AS sides FROM ${namespace}.raw_trades`
    const [now] = (await rows(counts, where.slice(0, 4))) as [{ n: number; sides: number }]
    // All rows of the second run have a side, none of the first.
    expect(now.n - now.sides).toBe(firstRows)
    expect(now.sides).toBeGreaterThan(0)
  })

  it.each([
    ['no such bucket', ['--warehouse', 's3://frazil-there-is-none/x'], {}, /bucket frazil-there-is-none/],
    [
      'nothing at the endpoint',
      [],
      { AWS_ENDPOINT_URL: 'http://127.0.0.1:1' },
      /nothing answers at the endpoint .*AWS_ENDPOINT_URL/,
    ],
    ['no region', [], { AWS_REGION: '' }, /expected a region, found none\. Set AWS_REGION/],
    ['no credentials', [], { AWS_ACCESS_KEY_ID: '' }, /expected credentials/],
    ['a name that is no table', ['--log-table', 'a/b'], {}, /Cannot create DynamoDB table a\/b/],
  ])('says in one line what is wrong: %s', async (_, args, change, message) => {
    const { code, stdout, stderr } = await frazil(['run', TRADES, '--input', input, ...aws, ...args], change)
    expect(stderr).toMatch(message)
    expect(
      stderr
        .trim()
        .split('\n')
        .filter((line) => line.startsWith('error')),
    ).toHaveLength(1)
    expect(stdout).toBe('')
    expect(code).toBe(2)
  })
})
