interface At<Step> {
  readonly step: Step
  readonly priority: 'high'
  readonly name: string
}
/** The part of an SDK client that a meter needs. Every client of AWS SDK v3 has it. */
interface Meterable {
  readonly config: { readonly serviceId: string }
  readonly middlewareStack: {
    add(middleware: never, at: At<'initialize'>): void
    add(middleware: never, at: At<'deserialize'>): void
  }
}

/** What AWS would put on the bill for some work. Names are as in `DynamoDB.PutItem`, `S3.PutObject`, `Glue.GetTable`. */
export interface Bill {
  /** Requests by name, those that the client repeated included. */
  readonly calls: Readonly<Record<string, number>>
  /** Bytes of request bodies, by name. */
  readonly sentBytes: Readonly<Record<string, number>>
  /** Bytes of answers' bodies, by name. */
  readonly receivedBytes: Readonly<Record<string, number>>
  /** Request units of DynamoDB. */
  readonly readUnits: number
  readonly writeUnits: number
}

interface Context {
  readonly clientName?: string
  readonly commandName?: string
}
interface Args {
  readonly input: object
  readonly request: { readonly body?: string | Uint8Array }
}
interface Result {
  readonly output: { readonly ConsumedCapacity?: Consumed | readonly Consumed[] }
  readonly response: { readonly headers: Readonly<Record<string, string | undefined>> }
}
interface Consumed {
  readonly CapacityUnits?: number
}
type Next = (args: Args) => Promise<Result>

/** A call of DynamoDB as far as its price depends on it. */
interface Asked {
  readonly RequestItems?: Readonly<Record<string, { readonly Keys?: readonly unknown[] }>>
}

/**
 * What a consistent read costs at least: a unit for a query, and for each item of a batch, be it there or not. DynamoDB Local
 * takes nothing for what is not there, DynamoDB does:
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
 */
const LEAST_READ_UNITS: Readonly<Record<string, (asked: Asked) => number>> = {
  'DynamoDB.Query': () => 1,
  'DynamoDB.BatchGetItem': ({ RequestItems = {} }) =>
    Object.values(RequestItems).reduce((sum, { Keys = [] }) => sum + Keys.length, 0),
}

/**
 * Counts what clients do from now on: requests and bytes below their retries, DynamoDB's units as it tells them. Returns what
 * runs some work, and tells its bill.
 */
export function meter(clients: readonly Meterable[]): (work: () => Promise<unknown>) => Promise<Bill> {
  let bill = emptyBill()
  const add = (counts: Record<string, number>, name: string, by: number) => {
    counts[name] = (counts[name] ?? 0) + by
  }
  const units = (next: Next, context: Context) => async (args: Args) => {
    const result = await next({ ...args, input: { ...args.input, ReturnConsumedCapacity: 'TOTAL' } })
    const consumed = [result.output.ConsumedCapacity ?? []].flat()
    const told = consumed.reduce((sum, { CapacityUnits = 0 }) => sum + CapacityUnits, 0)
    const least = LEAST_READ_UNITS[nameOf(context)]
    if (least === undefined) bill.writeUnits += told
    else bill.readUnits += Math.max(told, least(args.input))
    return result
  }
  const requests = (next: Next, context: Context) => async (args: Args) => {
    const name = nameOf(context)
    add(bill.calls, name, 1)
    add(bill.sentBytes, name, Buffer.byteLength(args.request.body ?? ''))
    const result = await next(args)
    // The length that the answer to a HeadObject tells is the object's.
    if (name !== 'S3.HeadObject') add(bill.receivedBytes, name, Number(result.response.headers['content-length'] ?? Number.NaN))
    return result
  }
  for (const { config, middlewareStack } of clients) {
    if (config.serviceId === 'DynamoDB')
      middlewareStack.add(units as never, { step: 'initialize', priority: 'high', name: 'meterUnits' })
    middlewareStack.add(requests as never, { step: 'deserialize', priority: 'high', name: 'meterRequests' })
  }
  return async (work) => {
    bill = emptyBill()
    await work()
    return bill
  }
}

const emptyBill = () => ({ calls: {}, sentBytes: {}, receivedBytes: {}, readUnits: 0, writeUnits: 0 })

const nameOf = ({ clientName = '', commandName = '' }: Context): string =>
  `${clientName.replace(/Client$/, '')}.${commandName.replace(/Command$/, '')}`
