import { CreateTableCommand, DescribeTableCommand, type DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type DynamoLog, dynamoClient, openDynamoLog } from '../../lib/aws/dynamo-log.ts'
import { createLogTable } from '../../lib/aws/dynamo-table.ts'
import { MAX_LOG_VALUE_BYTES } from '../../lib/ports/log.ts'
import { connectionReset, denied, injectFaults } from './faults.ts'
import { type LogTable, logTable, meterOf } from './log-table.ts'
import { dynamodbLocal, ministack, uniqueName } from './services.ts'

describe.each([
  ['ministack', ministack],
  ['DynamoDB Local', dynamodbLocal],
])('the table of the logs (%s)', (_, options) => {
  const withClient = async (body: (client: DynamoDBClient, name: string) => Promise<void>) => {
    const client = dynamoClient(options())
    await body(client, uniqueName('table'))
    client.destroy()
  }

  it('is made once by however many ask for it, billed on demand, and is usable at once', () =>
    withClient(async (client, name) => {
      await Promise.all([createLogTable(client, name), createLogTable(client, name)])
      await createLogTable(client, name)
      const { Table } = await client.send(new DescribeTableCommand({ TableName: name }))
      expect(Table?.BillingModeSummary?.BillingMode).toBe('PAY_PER_REQUEST')
      expect(await openDynamoLog({ table: name, client }).put('a', 1, 'v')).toEqual({ won: true })
    }))

  it('is there when the answer to its creation was lost', () =>
    withClient(async (client, name) => {
      const faults = injectFaults(client)
      faults.after('CreateTable', connectionReset)
      await createLogTable(client, name)
      expect(faults.count('CreateTable')).toBe(2)
      expect(await openDynamoLog({ table: name, client }).tail('a')).toBeUndefined()
    }))

  it('a table of that name with other keys is a usage error that shows both', () =>
    withClient(async (client, name) => {
      await client.send(
        new CreateTableCommand({
          TableName: name,
          BillingMode: 'PAY_PER_REQUEST',
          AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
          KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
        }),
      )
      await expect(createLogTable(client, name)).rejects.toMatchObject({
        kind: 'Usage',
        message: `Cannot use DynamoDB table ${name} for logs: expected the keys log (HASH, S) and slot (RANGE, N), found id (HASH, S). Choose another name.`,
      })
      await expect(openDynamoLog({ table: name, client }).put('a', 1, 'v')).rejects.toMatchObject({ kind: 'Usage' })
      await expect(openDynamoLog({ table: name, client }).tail('a')).rejects.toMatchObject({ kind: 'Usage' })
    }))

  it('that may not be made says which right is missing', () =>
    withClient(async (client, name) => {
      injectFaults(client).before('CreateTable', denied)
      await expect(createLogTable(client, name)).rejects.toMatchObject({
        kind: 'Usage',
        message: expect.stringContaining('Grant dynamodb:CreateTable and dynamodb:DescribeTable'),
      })
    }))
})

describe('what the log costs, in DynamoDB’s units (DynamoDB Local)', () => {
  let table: LogTable
  let log: DynamoLog
  let units: (call: () => Promise<unknown>) => Promise<number>
  beforeAll(async () => {
    table = await logTable(dynamodbLocal())
    log = openDynamoLog({ table: table.name, client: table.client })
    units = meterOf(table.client)
  })
  afterAll(() => table.drop())

  /** With a log key of 20 bytes, 12 bytes of names and 2 of slot number this value makes an item of `bytes`. */
  const KEY = 'trades/source/0/t/00'
  const valueFor = (bytes: number) => 'x'.repeat(bytes - KEY.length - 'logslotvalue'.length - 2)

  it('a put is one write unit for each KB of its item', async () => {
    expect(await units(() => log.put(KEY, 1, valueFor(1024)))).toBe(1)
    expect(await units(() => log.put(KEY, 2, valueFor(1025)))).toBe(2)
    expect(await units(() => log.put(KEY, 3, valueFor(4096)))).toBe(4)
    expect(await units(() => log.put(KEY, 4, 'x'.repeat(MAX_LOG_VALUE_BYTES)))).toBe(5)
  })

  it('a tail is one read unit for each 4 KB of its item, however long the log is', async () => {
    expect(await units(() => log.tail(KEY))).toBe(2)
    await log.put(KEY, 5, valueFor(4096))
    expect(await units(() => log.tail(KEY))).toBe(1)
    await log.put(KEY, 6, 'short')
    expect(await units(() => log.tail(KEY))).toBe(1)
  })

  // DynamoDB Local counts nothing for what is not there; AWS counts one unit.
  it('the floors of four logs are four read units, asked for twice too', async () => {
    const keys = ['a', 'b', 'c', 'd']
    for (const key of keys) await log.trim(key, 7)
    expect(await units(() => log.floors(keys))).toBe(4)
    expect(await units(() => log.floors([...keys, ...keys]))).toBe(4)
  })

  it('a read is one read unit for each 4 KB of all its items together', async () => {
    for (let slot = 1; slot <= 10; slot++) await log.put('r', slot, 'x'.repeat(400))
    expect(await units(() => log.read('r', 0, 100))).toBe(2)
  })

  it('a trim of 50 slots is one write unit for the floor, one for each slot, and what it reads', async () => {
    for (let slot = 1; slot <= 51; slot++) await log.put('t', slot, 'x')
    expect(await units(() => log.trim('t', 50))).toBe(1 + 50 + 1 + 1)
  })
})
