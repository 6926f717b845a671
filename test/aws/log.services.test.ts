import { type DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { ClientOptions } from '../../lib/aws/clients.ts'
import { type DynamoLog, dynamoClient, openDynamoLog } from '../../lib/aws/dynamo-log.ts'
import { MAX_LOG_VALUE_BYTES } from '../../lib/ports/log.ts'
import { put } from '../../lib/runtime/put.ts'
import { describeLog } from '../conformance/log.ts'
import { connectionReset, denied, type Faults, injectFaults, serverError, serviceError, throttled, timedOut } from './faults.ts'
import { type LogTable, logTable } from './log-table.ts'
import { dynamodbLocal, ministack, uniqueName } from './services.ts'

const SERVICES: readonly (readonly [string, () => Required<ClientOptions>])[] = [
  ['ministack', ministack],
  ['DynamoDB Local', dynamodbLocal],
]

for (const [service, options] of SERVICES)
  describeLog(`DynamoDB (${service})`, async () => {
    const table = await logTable(options())
    const opened: DynamoLog[] = []
    const open = () => {
      const log = openDynamoLog({ table: table.name, ...options() })
      opened.push(log)
      return log
    }
    const closeAll = () => {
      for (const log of opened.splice(0)) log.close()
    }
    return {
      log: open(),
      second: async () => open(),
      async reopened() {
        closeAll()
        return open()
      },
      async close() {
        closeAll()
        await table.drop()
      },
    }
  })

describe.each(SERVICES)('the log on DynamoDB (%s)', (_, options) => {
  let table: LogTable
  let client: DynamoDBClient
  let log: DynamoLog
  let other: DynamoLog
  let faults: Faults
  let key: string
  beforeAll(async () => {
    table = await logTable(options())
    other = openDynamoLog({ table: table.name, client: table.client })
  })
  afterAll(() => table.drop())
  // A client's retries draw on a purse of its own, so every test has its own client.
  beforeEach(() => {
    client = dynamoClient(options())
    faults = injectFaults(client)
    log = openDynamoLog({ table: table.name, client })
    key = uniqueName('key')
  })
  afterEach(() => client.destroy())

  const fill = async (to: number, value = 'v') => {
    for (let slot = 1; slot <= to; slot++) expect(await other.put(key, slot, value)).toEqual({ won: true })
  }
  const slots = async () => (await other.read(key, 0, 1000)).map((item) => item.slot)

  describe('when a call fails in a way that passes', () => {
    const passing: readonly (readonly [string, () => Error])[] = [
      ['throttled', throttled],
      ['ProvisionedThroughputExceededException', () => serviceError('ProvisionedThroughputExceededException')],
      ['RequestLimitExceeded', () => serviceError('RequestLimitExceeded')],
      ['TransactionConflictException', () => serviceError('TransactionConflictException')],
      ['InternalServerError (500)', serverError],
      ['ServiceUnavailable (503)', () => serviceError('ServiceUnavailable', 503)],
      ['connection reset', connectionReset],
      ['no answer in time', timedOut],
    ]
    it.each(passing)('a put is tried again and written once: %s', async (_name, error) => {
      faults.before('PutItem', error)
      expect(await log.put(key, 1, 'v')).toEqual({ won: true })
      expect(faults.count('PutItem')).toBe(2)
      expect(await slots()).toEqual([1])
    })

    it.each(['Query', 'BatchGetItem', 'UpdateItem', 'BatchWriteItem'])(
      'a %s is tried again, as often as its budget has it',
      async (command) => {
        await fill(3)
        faults.before(command, () => serviceError('TransactionConflictException'), { times: 2 })
        faults.before(command, connectionReset)
        expect((await log.tail(key))?.slot).toBe(3)
        await log.trim(key, 2)
        expect(await log.floors([key])).toEqual([2])
        expect(await slots()).toEqual([3])
        const without = { Query: 3, BatchGetItem: 1, UpdateItem: 1, BatchWriteItem: 1 }[command]
        expect(faults.count(command)).toBe((without ?? 0) + 3)
      },
    )

    it.each([
      ['Query', 'read', () => log.tail(key)],
      ['Query', 'read', () => log.read(key, 0, 10)],
      ['PutItem', 'write', () => log.put(key, 1, 'v')],
      ['BatchGetItem', 'read the floors of', () => log.floors([key])],
      ['UpdateItem', 'trim', () => log.trim(key, 1)],
    ] as const)('a %s that fails until the budget is used up is Unavailable, in one line', async (command, verb, call) => {
      faults.before(command, serverError, { times: Number.POSITIVE_INFINITY })
      await expect(call()).rejects.toMatchObject({
        kind: 'Unavailable',
        message: expect.stringMatching(
          new RegExp(`^Cannot ${verb} .*table ${table.name}: InternalServerError \\(500\\): Internal error\\. Try again\\.$`),
        ),
      })
      expect(faults.count()).toBe(4)
    })
  })

  describe('when an answer is lost', () => {
    it.each([connectionReset, timedOut, serverError])(
      'a put that happened finds its own value and is not lost',
      async (error) => {
        faults.after('PutItem', error)
        expect(await log.put(key, 1, 'mine')).toEqual({ won: false, existing: 'mine' })
        expect(faults.count('PutItem')).toBe(2)
        expect(await other.tail(key)).toEqual({ slot: 1, value: 'mine' })
      },
    )

    it('a put that happened, and whose every answer was lost, is Unavailable; put again it recognises itself', async () => {
      faults.after('PutItem', connectionReset, { times: 4 })
      await expect(log.put(key, 1, 'mine')).rejects.toMatchObject({ kind: 'Unavailable' })
      expect(await other.tail(key)).toEqual({ slot: 1, value: 'mine' })
      faults.clear()
      faults.after('PutItem', connectionReset, { times: 5 })
      expect(await put(log, key, 2, 'next')).toEqual({ won: false, existing: 'next' })
    })

    it('a put that did not happen loses to one that came before its next try, and is told that one’s value', async () => {
      faults.before('PutItem', connectionReset)
      const held = faults.hold('PutItem')
      const result = log.put(key, 1, 'mine')
      await held.reached
      expect(await other.put(key, 1, 'theirs')).toEqual({ won: true })
      held.release()
      expect(await result).toEqual({ won: false, existing: 'theirs' })
    })

    it('a trim whose answers are lost has raised the floor once and removed the slots', async () => {
      await fill(5)
      faults.after('UpdateItem', connectionReset)
      faults.after('BatchWriteItem', connectionReset)
      await log.trim(key, 3)
      expect(faults.count('UpdateItem')).toBe(2)
      expect(faults.count('BatchWriteItem')).toBe(2)
      expect(await other.floors([key])).toEqual([3])
      expect(await slots()).toEqual([4, 5])
    })
  })

  describe('a trim', () => {
    it('raises the floor before it deletes anything, and what it did not reach the next one removes', async () => {
      await fill(5)
      faults.before('BatchWriteItem', serverError, { times: 4 })
      await expect(log.trim(key, 3)).rejects.toMatchObject({ kind: 'Unavailable' })
      expect(faults.tries.map((one) => one.command).slice(0, 4)).toEqual(['UpdateItem', 'Query', 'Query', 'BatchWriteItem'])
      expect(await other.floors([key])).toEqual([3])
      expect(await slots()).toEqual([1, 2, 3, 4, 5])
      await log.trim(key, 3)
      expect(await slots()).toEqual([4, 5])
    })

    it('that cannot raise the floor deletes nothing', async () => {
      await fill(3)
      faults.before('UpdateItem', serverError, { times: 4 })
      await expect(log.trim(key, 2)).rejects.toMatchObject({ kind: 'Unavailable' })
      expect(faults.count('BatchWriteItem')).toBe(0)
      expect(await other.floors([key])).toEqual([0])
      expect(await slots()).toEqual([1, 2, 3])
    })

    it('reads keys alone and deletes 25 at a time', async () => {
      await fill(60)
      await log.trim(key, 58)
      expect(await slots()).toEqual([59, 60])
      expect(faults.count('BatchWriteItem')).toBe(3)
      expect(faults.tries.find((one) => one.command === 'Query' && one.input.ProjectionExpression !== undefined)).toBeDefined()
    })

    it('asks again for the deletes that were left undone, and for no others', async () => {
      await fill(4)
      faults.answer('BatchWriteItem', (_output, { RequestItems }) => ({
        UnprocessedItems: { [table.name]: (RequestItems as Record<string, unknown[]>)[table.name].slice(1) },
      }))
      await log.trim(key, 3)
      const asked = faults.tries.filter((one) => one.command === 'BatchWriteItem').map((one) => JSON.stringify(one.input))
      expect(asked).toHaveLength(2)
      expect(asked[0]).toContain('"slot":{"N":"1"}')
      expect(asked[1]).not.toContain('"slot":{"N":"1"}')
      expect(asked[1]).toContain('"slot":{"N":"3"}')
      expect(await slots()).toEqual([4])
    })

    it('a handler that wakes after a trim wins an old slot, finds the floor above it, and never becomes the tail', async () => {
      const held = faults.hold('PutItem')
      const zombie = log.put(key, 1, 'zombie')
      await held.reached
      await fill(3)
      await other.trim(key, 2)
      held.release()
      expect(await zombie).toEqual({ won: true })
      expect(await log.floors([key])).toEqual([2])
      expect((await other.tail(key))?.slot).toBe(3)
      await other.trim(key, 2)
      expect(await slots()).toEqual([3])
    })

    it('raises a floor that is there already', async () => {
      await fill(9)
      for (const floor of [2, 5, 7]) {
        await log.trim(key, floor)
        expect(await log.floors([key])).toEqual([floor])
      }
      expect(await slots()).toEqual([8, 9])
    })

    it('leaves the tail alone while others append', async () => {
      await fill(2)
      const held = faults.hold('BatchWriteItem')
      const trimmed = log.trim(key, 9)
      await held.reached
      await other.put(key, 3, 'v')
      held.release()
      await trimmed
      expect(await slots()).toEqual([2, 3])
    })
  })

  describe('floors', () => {
    it('of up to 100 logs are one call, of 250 with repeated ones three, each log once', async () => {
      const keys = Array.from({ length: 250 }, (_x, i) => `${key}/${i}`)
      for (const i of [0, 99, 100, 249]) await other.trim(`${key}/${i}`, i + 1)
      expect(await log.floors(keys.slice(0, 100))).toEqual(
        Array.from({ length: 100 }, (_x, i) => (i === 0 || i === 99 ? i + 1 : 0)),
      )
      expect(faults.count()).toBe(1)
      const floors = await log.floors([...keys, ...keys])
      expect([0, 99, 100, 249, 250, 499].map((i) => floors[i])).toEqual([1, 100, 101, 250, 1, 250])
      expect(floors.filter((floor) => floor > 0)).toHaveLength(8)
      expect(faults.count('BatchGetItem')).toBe(4)
    })

    it('asks again, consistently, for the keys that were left unread', async () => {
      const keys = [`${key}/a`, `${key}/b`, `${key}/c`]
      for (const [i, one] of keys.entries()) await other.trim(one, i + 1)
      const one = (item: unknown) => (item as { log: { S: string } }).log.S === keys[1]
      faults.answer('BatchGetItem', (output, { RequestItems }) => {
        const found = (output.Responses as Record<string, unknown[]>)[table.name]
        const asked = (RequestItems as Record<string, { Keys: unknown[] }>)[table.name].Keys
        return {
          Responses: { [table.name]: found.filter(one) },
          UnprocessedKeys: { [table.name]: { Keys: asked.filter((item) => !one(item)) } },
        }
      })
      expect(await log.floors(keys)).toEqual([1, 2, 3])
      const second = faults.tries[1]?.input.RequestItems as Record<string, { Keys: unknown[]; ConsistentRead: boolean }>
      expect(second[table.name].Keys).toHaveLength(2)
      expect(second[table.name].ConsistentRead).toBe(true)
      expect(faults.count()).toBe(2)
    })

    it('that stay unread are Unavailable, never 0', async () => {
      await other.trim(key, 4)
      faults.answer('BatchGetItem', (_output, { RequestItems }) => ({ Responses: {}, UnprocessedKeys: RequestItems as object }), {
        times: Number.POSITIVE_INFINITY,
      })
      await expect(log.floors([key])).rejects.toMatchObject({
        kind: 'Unavailable',
        message: expect.stringMatching(
          /^Cannot read the floors of 1 logs: expected all of it done, found some left after 6 rounds/,
        ),
      })
      expect(faults.count()).toBe(6)
    })
  })

  describe('a read', () => {
    it('is consistent, whatever is read', async () => {
      await fill(2)
      await log.tail(key)
      await log.read(key, 0, 10)
      await log.floors([key])
      await log.trim(key, 1)
      const consistent = faults.tries.flatMap(({ command, input }) => {
        if (command === 'Query') return [input.ConsistentRead]
        if (command === 'BatchGetItem') return Object.values(input.RequestItems as object).map((one) => one.ConsistentRead)
        return []
      })
      expect(consistent).toEqual([true, true, true, true, true])
    })

    it('goes on over pages until it has what was asked for', async () => {
      const value = 'x'.repeat(MAX_LOG_VALUE_BYTES)
      await fill(300, value)
      const all = await log.read(key, 0, 1000)
      expect(all.map((item) => item.slot)).toEqual(Array.from({ length: 300 }, (_x, i) => i + 1))
      expect(all.every((item) => item.value === value)).toBe(true)
      // A page ends at 1 MB: 300 items of 4 KB are two.
      expect(faults.count('Query')).toBe(2)
      expect((await log.read(key, 10, 280)).map((item) => item.slot)).toEqual(Array.from({ length: 280 }, (_x, i) => i + 11))
      await log.trim(key, 300)
      expect(await slots()).toEqual([300])
    })

    it('goes on after an empty page that names a key to go on from', async () => {
      await fill(3)
      faults.answer('Query', () => ({ Items: [], LastEvaluatedKey: { log: { S: key }, slot: { N: '1' } } }))
      expect((await log.read(key, 0, 10)).map((item) => item.slot)).toEqual([2, 3])
    })

    it('never gives the floor’s item, also from below', async () => {
      await fill(2)
      await other.trim(key, 1)
      expect((await log.read(key, -5, 10)).map((item) => item.slot)).toEqual([2])
      expect(await log.read(key, Number.MAX_SAFE_INTEGER, 10)).toEqual([])
    })
  })

  describe('keys and items', () => {
    it('a key may have 2048 bytes; a longer one and an empty one are refused before anything is asked', async () => {
      const longest = key + '€'.repeat(600) + 'x'.repeat(248 - key.length)
      expect(await log.put(longest, 1, 'v')).toEqual({ won: true })
      expect(await log.tail(longest)).toEqual({ slot: 1, value: 'v' })
      expect(await log.floors([longest])).toEqual([0])
      faults.clear()
      for (const bad of [`${longest}x`, ''])
        for (const call of [
          () => log.put(bad, 1, 'v'),
          () => log.tail(bad),
          () => log.read(bad, 0, 1),
          () => log.floors(['a', bad]),
          () => log.trim(bad, 1),
        ])
          await expect(call()).rejects.toMatchObject({ kind: 'Refused', message: expect.stringContaining('1 to 2048 bytes') })
      expect(faults.count()).toBe(0)
    })

    it('an item that Frazil did not write is Corrupt, never a value', async () => {
      const item = { log: { S: key }, slot: { N: '1' }, text: { S: 'x' } }
      await client.send(new PutItemCommand({ TableName: table.name, Item: item }))
      for (const call of [() => log.tail(key), () => log.read(key, 0, 1), () => log.put(key, 1, 'v')])
        await expect(call()).rejects.toMatchObject({ kind: 'Corrupt', message: expect.stringContaining('a value') })
    })
  })

  describe('when something is missing or forbidden', () => {
    it.each([
      ['dynamodb:Query', () => log.tail(key)],
      ['dynamodb:Query', () => log.read(key, 0, 1)],
      ['dynamodb:PutItem', () => log.put(key, 1, 'v')],
      ['dynamodb:BatchGetItem', () => log.floors([key])],
      ['dynamodb:UpdateItem', () => log.trim(key, 1)],
    ] as const)('a denied call is a usage error that names the right %s, and is not repeated', async (right, call) => {
      faults.before(right.replace('dynamodb:', ''), denied)
      await expect(call()).rejects.toMatchObject({
        kind: 'Usage',
        message: expect.stringContaining(`Grant ${right} on table ${table.name} to this identity.`),
      })
      expect(faults.count()).toBe(1)
    })

    it('a table that is not there is a usage error that names it', async () => {
      const lost = openDynamoLog({ table: 'frazil-nowhere', client })
      for (const call of [
        () => lost.tail(key),
        () => lost.read(key, 0, 1),
        () => lost.put(key, 1, 'v'),
        () => lost.floors([key]),
        () => lost.trim(key, 1),
      ])
        await expect(call()).rejects.toMatchObject({
          kind: 'Usage',
          message: expect.stringMatching(
            /^Cannot .* table frazil-nowhere: expected a DynamoDB table frazil-nowhere, found none .* AWS_REGION\.$/,
          ),
        })
    })
  })
})
