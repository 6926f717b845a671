/** The part of an SDK client that a meter needs. Every client of AWS SDK v3 has it. */
interface Meterable {
  readonly middlewareStack: {
    add(
      middleware: never,
      options: { readonly step: 'initialize' | 'deserialize'; readonly priority: 'high'; readonly name: string },
    ): void
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
  /** Capacity units that DynamoDB says it consumed. */
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

const WRITES = ['DynamoDB.PutItem', 'DynamoDB.UpdateItem', 'DynamoDB.BatchWriteItem']

/** Counts what clients do from now on: below their retries for requests and bytes, above them for DynamoDB's own count of units. */
export function meter(clients: readonly Meterable[]): (work: () => Promise<unknown>) => Promise<Bill> {
  let bill = emptyBill()
  const add = (counts: Record<string, number>, name: string, by: number) => {
    counts[name] = (counts[name] ?? 0) + by
  }
  const units = (next: Next, context: Context) => async (args: Args) => {
    const result = await next({ ...args, input: { ...args.input, ReturnConsumedCapacity: 'TOTAL' } })
    for (const { CapacityUnits = 0 } of [result.output.ConsumedCapacity ?? []].flat())
      bill[WRITES.includes(nameOf(context)) ? 'writeUnits' : 'readUnits'] += CapacityUnits
    return result
  }
  const requests = (next: Next, context: Context) => async (args: Args) => {
    const name = nameOf(context)
    add(bill.calls, name, 1)
    add(bill.sentBytes, name, Buffer.byteLength(args.request.body ?? ''))
    const result = await next(args)
    add(bill.receivedBytes, name, Number(result.response.headers['content-length'] ?? Number.NaN))
    return result
  }
  for (const { middlewareStack } of clients) {
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
