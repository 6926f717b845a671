import {
  CreateTableCommand,
  DescribeTableCommand,
  type DynamoDBClient,
  type KeySchemaElement,
  ResourceInUseException,
  ResourceNotFoundException,
  type TableDescription,
} from '@aws-sdk/client-dynamodb'
import { unavailable, usage } from '../errors.ts'
import { asOurs } from './errors.ts'

/** Partition and sort key, with their types: one log is one partition, its slots in order. */
const KEYS = [
  { name: 'log', keyType: 'HASH', type: 'S' },
  { name: 'slot', keyType: 'RANGE', type: 'N' },
] as const

/** A table stands within seconds, seldom within a minute. */
const ACTIVE_WITHIN_MS = 120_000
const POLL_MS = 250

/**
 * Creates the table that `openDynamoLog` works on, billed on demand, and waits until it is active. One that exists with the
 * same keys is left as it is. Throws `Usage` when one exists with other keys or rights are missing. For tests and local runs:
 * a deployed table comes with the pipeline's stack.
 */
export async function createLogTable(client: DynamoDBClient, name: string): Promise<void> {
  try {
    // Looked for first: who may only use it need not have the right to create it.
    if (!(await exists(client, name))) await create(client, name)
    const table = await active(client, name)
    checkKeys(name, table)
  } catch (cause) {
    throw asOurs(cause, {
      doing: `create DynamoDB table ${name}`,
      permission: `dynamodb:CreateTable and dynamodb:DescribeTable on table ${name}`,
      missing: `a DynamoDB table ${name}`,
    })
  }
}

/** Whether there is a table of this name, whatever its keys. */
export async function logTableExists(client: DynamoDBClient, name: string): Promise<boolean> {
  return exists(client, name).catch((cause) => {
    const permission = `dynamodb:DescribeTable on table ${name}`
    throw asOurs(cause, { doing: `look for DynamoDB table ${name}`, permission, missing: `a DynamoDB table ${name}` })
  })
}

async function exists(client: DynamoDBClient, name: string): Promise<boolean> {
  try {
    await client.send(new DescribeTableCommand({ TableName: name }))
    return true
  } catch (error) {
    if (error instanceof ResourceNotFoundException) return false
    throw error
  }
}

async function create(client: DynamoDBClient, name: string): Promise<void> {
  try {
    await client.send(
      new CreateTableCommand({
        TableName: name,
        BillingMode: 'PAY_PER_REQUEST',
        AttributeDefinitions: KEYS.map((key) => ({ AttributeName: key.name, AttributeType: key.type })),
        KeySchema: KEYS.map((key) => ({ AttributeName: key.name, KeyType: key.keyType })),
      }),
    )
  } catch (error) {
    // It exists, or is being made: by another, or by a try of ours whose answer was lost.
    if (!(error instanceof ResourceInUseException)) throw error
  }
}

/** The table once it may be used. Right after its creation a table may still be unknown to DescribeTable. */
async function active(client: DynamoDBClient, name: string): Promise<TableDescription> {
  for (let waitedMs = 0; waitedMs < ACTIVE_WITHIN_MS; waitedMs += POLL_MS) {
    const table = await describe(client, name)
    // An UPDATING table serves all calls.
    if (table?.TableStatus === 'ACTIVE' || table?.TableStatus === 'UPDATING') return table
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  throw unavailable(`Cannot create DynamoDB table ${name}: expected it active within ${ACTIVE_WITHIN_MS} ms. Look at its status.`)
}

async function describe(client: DynamoDBClient, name: string): Promise<TableDescription | undefined> {
  try {
    return (await client.send(new DescribeTableCommand({ TableName: name }))).Table
  } catch (error) {
    if (error instanceof ResourceNotFoundException) return undefined
    throw error
  }
}

function checkKeys(name: string, { KeySchema = [], AttributeDefinitions = [] }: TableDescription): void {
  const typeOf = (key: KeySchemaElement) =>
    AttributeDefinitions.find((attribute) => attribute.AttributeName === key.AttributeName)?.AttributeType
  const found = KeySchema.map((key) => `${key.AttributeName} (${key.KeyType}, ${typeOf(key)})`).join(' and ')
  const expected = KEYS.map((key) => `${key.name} (${key.keyType}, ${key.type})`).join(' and ')
  if (found !== expected)
    throw usage(`Cannot use DynamoDB table ${name} for logs: expected the keys ${expected}, found ${found}. Choose another name.`)
}
