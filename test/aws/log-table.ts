import { DeleteTableCommand, type DynamoDBClient } from '@aws-sdk/client-dynamodb'
import type { ClientOptions } from '../../lib/aws/clients.ts'
import { dynamoClient } from '../../lib/aws/dynamo-log.ts'
import { createLogTable } from '../../lib/aws/dynamo-table.ts'
import { uniqueName } from './services.ts'

export interface LogTable {
  readonly name: string
  /** A client without faults. */
  readonly client: DynamoDBClient
  /** Deletes the table and closes the client. */
  drop(): Promise<void>
}

/** A new table for logs, with a name of its own. */
export async function logTable(options: ClientOptions): Promise<LogTable> {
  const client = dynamoClient(options)
  const name = uniqueName('log')
  await createLogTable(client, name)
  return {
    name,
    client,
    async drop() {
      await client.send(new DeleteTableCommand({ TableName: name }))
      client.destroy()
    },
  }
}

interface Consumed {
  readonly CapacityUnits?: number
}

/** Tells the capacity units, read or write, that the calls of a client consume, as DynamoDB itself counts them. */
export function meterOf(client: DynamoDBClient): (call: () => Promise<unknown>) => Promise<number> {
  let units = 0
  client.middlewareStack.add(
    (next) => async (args) => {
      const result = await next({ ...args, input: { ...args.input, ReturnConsumedCapacity: 'TOTAL' } })
      const { ConsumedCapacity } = result.output as { ConsumedCapacity?: Consumed | readonly Consumed[] }
      for (const one of [ConsumedCapacity ?? []].flat()) units += one.CapacityUnits ?? 0
      return result
    },
    { step: 'initialize', name: 'meter' },
  )
  return async (call) => {
    units = 0
    await call()
    return units
  }
}
