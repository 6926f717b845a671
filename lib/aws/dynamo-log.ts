import { Buffer } from 'node:buffer'
import {
  type AttributeValue,
  BatchGetItemCommand,
  BatchWriteItemCommand,
  ConditionalCheckFailedException,
  DynamoDBClient,
  PutItemCommand,
  QueryCommand,
  type QueryCommandInput,
  type QueryCommandOutput,
  UpdateItemCommand,
  type WriteRequest,
} from '@aws-sdk/client-dynamodb'
import { corrupt, refused } from '../errors.ts'
import type { Log, LogItem } from '../ports/log.ts'
import { checkNeverTrimmed, checkPut, checkTrim } from '../ports/log-rules.ts'
import { type CallBudget, type ClientOptions, clientConfig, REPEATABLE, retryConflicts, untilDone } from './clients.ts'
import { asOurs } from './errors.ts'

export interface DynamoLogOptions extends ClientOptions {
  /** Name of a table as `createLogTable` makes it. */
  readonly table: string
  /** One made by `dynamoClient`, which the caller closes. @default one of its own */
  readonly client?: DynamoDBClient
}

export interface DynamoLog extends Log {
  /** Closes the log's own connections; a client that was passed in stays open. */
  close(): void
}

/** DynamoDB's limits: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html */
const MAX_KEY_BYTES = 2048
const MAX_BATCH_GET = 100
const MAX_BATCH_WRITE = 25
/** A page ends at 1 MB in any case. */
const MAX_PAGE_ITEMS = 10_000

/** Where a log's trim floor is kept: beside its items, and below them, for slots count from 1. */
const FLOOR_SLOT = 0

type Item = Record<string, AttributeValue>

interface Range extends Pick<QueryCommandInput, 'ProjectionExpression'> {
  readonly key: string
  readonly first: number
  readonly end: number
  readonly maxItems: number
}

/** A client for `openDynamoLog` and `createLogTable`: every call they make is harmless to repeat. */
export function dynamoClient(options: ClientOptions = {}, budget: CallBudget = REPEATABLE): DynamoDBClient {
  return retryConflicts(new DynamoDBClient(clientConfig(budget, options)))
}

/**
 * Logs in one DynamoDB table: `{log, slot, value}` for a slot, `{log, slot: 0, floor}` for the trim floor. An item of up to 4 KB
 * (value, key and 12 bytes of names) costs 1 read unit as a tail, 1 write unit a KB as a put; a floor costs 1 read unit.
 * Throws `Usage` when rights, table, region or credentials are wrong, `Unavailable` when the budget of a call is used up.
 */
export function openDynamoLog(options: DynamoLogOptions): DynamoLog {
  const { table } = options
  const client = options.client ?? dynamoClient(options)

  /** Runs `call`; what it throws becomes ours. `action` is the right it takes. */
  const asked = async <T>(doing: string, action: string, call: () => Promise<T>): Promise<T> => {
    try {
      return await call()
    } catch (cause) {
      throw asOurs(cause, {
        doing: `${doing} in table ${table}`,
        permission: `dynamodb:${action} on table ${table}`,
        missing: `a DynamoDB table ${table}`,
      })
    }
  }

  const query = (key: string, input: Partial<QueryCommandInput>): Promise<QueryCommandOutput> => {
    checkKey(key)
    return asked(`read log ${key}`, 'Query', () =>
      client.send(new QueryCommand({ TableName: table, ConsistentRead: true, ...input })),
    )
  }

  /** The item of the highest slot, which is the floor's when there is no other. */
  const last = async (key: string): Promise<Item | undefined> => {
    const { Items } = await query(key, {
      KeyConditionExpression: '#log = :log',
      ExpressionAttributeNames: { '#log': 'log' },
      ExpressionAttributeValues: { ':log': { S: key } },
      ScanIndexForward: false,
      Limit: 1,
    })
    return Items?.[0]
  }

  /** Items of the slots from `first` to `end`, ascending, at most `maxItems`, page by page. */
  async function* pages({ key, first, end, maxItems, ...projection }: Range): AsyncGenerator<readonly Item[]> {
    let start: Item | undefined
    for (let left = maxItems; left > 0 && first <= end; ) {
      const { Items = [], LastEvaluatedKey } = await query(key, {
        KeyConditionExpression: '#log = :log AND #slot BETWEEN :first AND :end',
        ExpressionAttributeNames: { '#log': 'log', '#slot': 'slot' },
        ExpressionAttributeValues: { ':log': { S: key }, ':first': numeric(first), ':end': numeric(end) },
        Limit: Math.min(left, MAX_PAGE_ITEMS),
        ExclusiveStartKey: start,
        ...projection,
      })
      yield Items
      // Only a missing key says that this was the last page: an empty page may have a successor.
      if (LastEvaluatedKey === undefined) return
      start = LastEvaluatedKey
      left -= Items.length
    }
  }

  /** Adds the floors of up to 100 logs, no log twice (DynamoDB refuses duplicates). */
  const addFloors = (found: Map<string, number>, logs: readonly string[]): Promise<void> => {
    const doing = `read the floors of ${logs.length} logs`
    const keys: Item[] = logs.map((log) => ({ log: { S: log }, slot: numeric(FLOOR_SLOT) }))
    return untilDone(doing, keys, async (Keys) => {
      const RequestItems = {
        [table]: {
          Keys,
          ConsistentRead: true,
          ProjectionExpression: '#log, #floor',
          ExpressionAttributeNames: { '#log': 'log', '#floor': 'floor' },
        },
      }
      const answer = await asked(doing, 'BatchGetItem', () => client.send(new BatchGetItemCommand({ RequestItems })))
      for (const item of Object.values(answer.Responses ?? {}).flat()) {
        const log = textOf(item, 'log', 'a floor')
        found.set(log, numberOf(item, 'floor', log))
      }
      return nonEmpty(Object.values(answer.UnprocessedKeys ?? {}).flatMap((rest) => rest.Keys ?? []))
    })
  }

  /**
   * A condition that fails says that the floor is there already, or higher: raised by another, or by a try whose answer was
   * lost.
   */
  const raiseFloor = (key: string, floor: number): Promise<void> =>
    asked(`trim log ${key}`, 'UpdateItem', async () => {
      try {
        await client.send(
          new UpdateItemCommand({
            TableName: table,
            Key: { log: { S: key }, slot: numeric(FLOOR_SLOT) },
            UpdateExpression: 'SET #floor = :floor',
            ConditionExpression: 'attribute_not_exists(#floor) OR #floor < :floor',
            ExpressionAttributeNames: { '#floor': 'floor' },
            ExpressionAttributeValues: { ':floor': numeric(floor) },
          }),
        )
      } catch (error) {
        if (!(error instanceof ConditionalCheckFailedException)) throw error
      }
    })

  /** Deletes up to 25 slots. Unconditional, and so harmless whenever it lands: a floor only rises. */
  const remove = (key: string, slots: readonly number[]): Promise<void> => {
    const doing = `trim log ${key}`
    const deletes: WriteRequest[] = slots.map((slot) => ({ DeleteRequest: { Key: { log: { S: key }, slot: numeric(slot) } } }))
    return untilDone(doing, deletes, async (rest) => {
      const answer = await asked(doing, 'BatchWriteItem', () =>
        client.send(new BatchWriteItemCommand({ RequestItems: { [table]: rest } })),
      )
      return nonEmpty(Object.values(answer.UnprocessedItems ?? {}).flat())
    })
  }

  return {
    async tail(key) {
      const item = await last(key)
      if (item === undefined) return undefined
      if (numberOf(item, 'slot', key) > FLOOR_SLOT) return logItem(item, key)
      checkNeverTrimmed(key, numberOf(item, 'floor', key))
      return undefined
    },

    async put(key, slot, value) {
      checkKey(key)
      checkPut(key, slot, value)
      return asked(`write log ${key}`, 'PutItem', async () => {
        try {
          await client.send(
            new PutItemCommand({
              TableName: table,
              Item: { log: { S: key }, slot: numeric(slot), value: { S: value } },
              ConditionExpression: 'attribute_not_exists(#slot)',
              ExpressionAttributeNames: { '#slot': 'slot' },
              // One read less, and no moment between: a client's retry finds its own first try here (protocol rule 4).
              ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
            }),
          )
          return { won: true }
        } catch (error) {
          if (!(error instanceof ConditionalCheckFailedException)) throw error
          return { won: false, existing: textOf(error.Item ?? {}, 'value', key) }
        }
      })
    },

    async read(key, after, maxItems) {
      const items: LogItem[] = []
      const first = Math.max(after, FLOOR_SLOT) + 1
      for await (const page of pages({ key, first, end: Number.MAX_SAFE_INTEGER, maxItems }))
        for (const item of page) items.push(logItem(item, key))
      return items
    },

    async floors(keys) {
      for (const key of keys) checkKey(key)
      const unique = [...new Set(keys)]
      const found = new Map<string, number>()
      for (let i = 0; i < unique.length; i += MAX_BATCH_GET) await addFloors(found, unique.slice(i, i + MAX_BATCH_GET))
      return keys.map((key) => found.get(key) ?? 0)
    },

    async trim(key, floor) {
      checkKey(key)
      checkTrim(key, floor)
      if (floor === 0) return
      await raiseFloor(key, floor)
      // The tail stays whatever the floor: it holds the next offset and the watermark (protocol rule 3). It can only rise.
      const tail = await last(key)
      const end = Math.min(floor, tail === undefined ? 0 : numberOf(tail, 'slot', key) - 1)
      const all = { key, first: FLOOR_SLOT + 1, end, maxItems: Number.POSITIVE_INFINITY, ProjectionExpression: '#slot' }
      for await (const page of pages(all)) {
        const slots = page.map((item) => numberOf(item, 'slot', key))
        for (let i = 0; i < slots.length; i += MAX_BATCH_WRITE) await remove(key, slots.slice(i, i + MAX_BATCH_WRITE))
      }
    },

    close() {
      if (options.client === undefined) client.destroy()
    },
  }
}

/** Throws `Refused` for a key that DynamoDB would not take. */
function checkKey(key: string): void {
  const bytes = Buffer.byteLength(key)
  if (bytes === 0 || bytes > MAX_KEY_BYTES)
    throw refused(
      `Cannot use log ${key.slice(0, 100)}…: expected a key of 1 to ${MAX_KEY_BYTES} bytes, found ${bytes}. Use shorter names.`,
    )
}

const numeric = (value: number): AttributeValue => ({ N: String(value) })
const nonEmpty = <T>(items: T[]): T[] | undefined => (items.length > 0 ? items : undefined)

const logItem = (item: Item, key: string): LogItem => ({ slot: numberOf(item, 'slot', key), value: textOf(item, 'value', key) })

function textOf(item: Item, name: string, key: string): string {
  return item[name]?.S ?? damaged(item, name, key)
}

function numberOf(item: Item, name: string, key: string): number {
  const number = Number(item[name]?.N)
  return Number.isSafeInteger(number) ? number : damaged(item, name, key)
}

function damaged(item: Item, name: string, key: string): never {
  const found = Object.keys(item).join(', ') || 'no attributes'
  throw corrupt(`Cannot read log ${key}: expected an item with a ${name} as Frazil writes it, found ${found}. Restore the table.`)
}
