/** What one unit of something costs, and who says so. */
export interface Price {
  readonly dollars: number
  /** How many units that buys: 1,000,000 for a price by the million. */
  readonly units: number
  /** The unit, as a bill has it. */
  readonly unit: string
  /** Units of a month that an account has for nothing. */
  readonly free?: number
  /** The page that has the price. */
  readonly source: string
  /** Set where the page has tiers or examples instead of this figure: what was assumed. */
  readonly assumed?: string
}

export type PriceName = keyof typeof PRICES

/** When the sheet was put together, from these pages or from what quotes them. */
export const PRICES_AS_OF = '2026-11-21'
export const PRICES_REGION = 'us-east-1'

const MILLION = 1_000_000

const LAMBDA = 'https://aws.amazon.com/lambda/pricing/'
const DYNAMODB = 'https://aws.amazon.com/dynamodb/pricing/on-demand/'
const S3 = 'https://aws.amazon.com/s3/pricing/'
const CLOUDWATCH = 'https://aws.amazon.com/cloudwatch/pricing/'
const KMS = 'https://aws.amazon.com/kms/pricing/'
const FLINK = 'https://aws.amazon.com/managed-service-apache-flink/pricing/'

/**
 * US dollars on demand, first tier, no savings plan. An account's free allowances are left out, save Glue's million requests,
 * which a pipeline seldom uses up. A GB is 10^9 bytes.
 */
export const PRICES = {
  lambdaCall: { dollars: 0.2, units: MILLION, unit: 'call', source: LAMBDA },
  /** arm64 */
  lambdaGbSecond: { dollars: 0.0000133334, units: 1, unit: 'GB-second', source: LAMBDA },
  /** Provisioned mode of an event source mapping for Kafka. */
  eventPollerUnitHour: { dollars: 0.185, units: 1, unit: 'EPU-hour', source: LAMBDA },
  s3Put: { dollars: 5, units: MILLION, unit: 'request', source: S3 },
  s3Get: { dollars: 0.4, units: MILLION, unit: 'request', source: S3 },
  /** S3 Standard. */
  s3GbMonth: { dollars: 0.023, units: 1, unit: 'GB-month', source: S3 },
  dynamoWriteUnit: { dollars: 0.625, units: MILLION, unit: 'write unit', source: DYNAMODB },
  dynamoReadUnit: { dollars: 0.125, units: MILLION, unit: 'read unit', source: DYNAMODB },
  dynamoGbMonth: { dollars: 0.25, units: 1, unit: 'GB-month', source: DYNAMODB },
  /** Point-in-time recovery. */
  dynamoRecoveryGbMonth: { dollars: 0.2, units: 1, unit: 'GB-month', source: DYNAMODB },
  glueRequest: { dollars: 1, units: MILLION, unit: 'request', free: MILLION, source: 'https://aws.amazon.com/glue/pricing/' },
  /** EventBridge Scheduler. */
  schedulerCall: { dollars: 1, units: MILLION, unit: 'call', source: 'https://aws.amazon.com/eventbridge/pricing/' },
  metricMonth: { dollars: 0.3, units: 1, unit: 'metric', source: CLOUDWATCH },
  /** For each metric that an alarm looks at. */
  alarmMonth: { dollars: 0.1, units: 1, unit: 'alarm', source: CLOUDWATCH },
  dashboardMonth: { dollars: 3, units: 1, unit: 'dashboard', source: CLOUDWATCH },
  logGb: { dollars: 0.5, units: 1, unit: 'GB', source: CLOUDWATCH },
  kmsKeyMonth: { dollars: 1, units: 1, unit: 'key', source: KMS },
  kmsRequest: { dollars: 3, units: MILLION, unit: 'request', source: KMS },
  flinkKpuHour: { dollars: 0.11, units: 1, unit: 'KPU-hour', source: FLINK },
  flinkStorageGbMonth: { dollars: 0.1, units: 1, unit: 'GB-month', source: FLINK },
  firehoseIcebergGb: {
    dollars: 0.07,
    units: 1,
    unit: 'GB',
    source: 'https://aws.amazon.com/firehose/pricing/',
    assumed: 'about $0.07 a GB into Iceberg; the page has tiers by volume',
  },
} as const satisfies Readonly<Record<string, Price>>

/** What so many units cost beyond those that are free. */
export function priced({ dollars, units, free = 0 }: Price, quantity: number): number {
  return (Math.max(0, quantity - free) * dollars) / units
}
