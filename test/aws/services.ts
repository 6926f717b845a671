import { randomUUID } from 'node:crypto'
import type { ClientOptions } from '../../lib/aws/clients.ts'

/** Emulators accept any credentials; the real service would accept none of these. */
const NOBODY = { accessKeyId: 'test', secretAccessKey: 'test' }
export const REGION = 'us-east-1'

const SERVICES = {
  FRAZIL_TEST_AWS_ENDPOINT: 'test/services/ministack.sh start',
  FRAZIL_TEST_DYNAMODB_ENDPOINT: 'test/services/dynamodb-local.sh start',
  FRAZIL_TEST_BROKERS: 'test/services/kafka.sh start',
} as const

/** The value of an environment variable that names a running service; throws when it is not set. */
function service(variable: keyof typeof SERVICES): string {
  const value = process.env[variable]
  if (!value)
    throw new Error(
      `Cannot test against a service: expected ${variable} to name it, found nothing. Start it with ${SERVICES[variable]}, or run npm run test:services.`,
    )
  return value
}

const optionsAt = (endpoint: string): Required<ClientOptions> => ({ endpoint, region: REGION, credentials: NOBODY })

/** Client options of ministack: S3, DynamoDB, Glue, Lambda, SQS. */
export const ministack = (): Required<ClientOptions> => optionsAt(service('FRAZIL_TEST_AWS_ENDPOINT'))

/** Client options of DynamoDB Local, the second judge. */
export const dynamodbLocal = (): Required<ClientOptions> => optionsAt(service('FRAZIL_TEST_DYNAMODB_ENDPOINT'))

/** `host:port` of the Kafka brokers. */
export const kafkaBrokers = (): readonly string[] => service('FRAZIL_TEST_BROKERS').split(',')

/** A name nobody else has, fit for a table, a bucket and a Glue database: `frazil-log-3f2a…`. */
export const uniqueName = (what: string): string => `frazil-${what}-${randomUUID().slice(0, 13)}`
