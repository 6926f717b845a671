import { countRecords, type EventOrigin, eventBytes, eventJson, eventStart } from './mapping-event.ts'
import type { Batch } from './mapping-retry.ts'

export type FailureCondition = 'RetryAttemptsExhausted' | 'RecordAgeExceeded' | 'MaximumPayloadSizeExceeded'

interface RecordsInfo {
  readonly firstRecordOffset: string
  readonly lastRecordOffset: string
  readonly firstRecordTimestamp: string | null
  readonly lastRecordTimestamp: string | null
}

/** The document that Lambda sends to an on-failure destination ("Capturing discarded batches", key by key). */
export interface MappingFailure {
  readonly requestContext: {
    readonly requestId: string
    readonly functionArn: string
    readonly condition: FailureCondition
    readonly approximateInvokeCount: number
  }
  /** null when the function was never called. */
  readonly responseContext: {
    readonly statusCode: number
    readonly executedVersion: string
    readonly functionError?: string
  } | null
  readonly version: '1.0'
  readonly timestamp: string
  readonly KafkaBatchInfo: {
    readonly batchSize: number
    readonly eventSourceArn?: string
    readonly bootstrapServers: string
    readonly payloadSize: number
    /** By topic and partition: `orders-0`. */
    readonly recordsInfo: Readonly<Record<string, RecordsInfo>>
  }
  /** The whole event. S3 and Kafka destinations get it; queues and topics get the document without it. */
  readonly payload: string
}

export interface FailureFacts {
  readonly batch: Batch
  readonly condition: FailureCondition
  readonly origin: EventOrigin
  readonly functionName: string
  readonly requestId: string
  readonly nowMs: number
}

export function failureOf({ batch, condition, origin, functionName, requestId, nowMs }: FailureFacts): MappingFailure {
  const { runs, invocations, functionError } = batch
  const start = eventStart(origin)
  return {
    requestContext: { requestId, functionArn: functionName, condition, approximateInvokeCount: invocations },
    responseContext:
      invocations === 0
        ? null
        : { statusCode: 200, executedVersion: '$LATEST', ...(functionError === undefined ? {} : { functionError }) },
    version: '1.0',
    timestamp: new Date(nowMs).toISOString(),
    KafkaBatchInfo: {
      batchSize: countRecords(runs),
      ...(origin.eventSourceArn === undefined ? {} : { eventSourceArn: origin.eventSourceArn }),
      bootstrapServers: origin.brokers.join(','),
      payloadSize: eventBytes(start, runs),
      recordsInfo: Object.fromEntries(
        runs.map(({ name, records }) => {
          const [first, last] = [records[0], records[records.length - 1]]
          return [
            name,
            {
              firstRecordOffset: String(first.offset),
              lastRecordOffset: String(last.offset),
              firstRecordTimestamp: instant(first.timestampMs),
              lastRecordTimestamp: instant(last.timestampMs),
            },
          ]
        }),
      ),
    },
    payload: eventJson(start, runs),
  }
}

/** Producers may set any 64 bits as timestamp: not all are instants. */
function instant(timestampMs: number): string | null {
  const date = new Date(timestampMs)
  return timestampMs < 0 || Number.isNaN(date.getTime()) ? null : date.toISOString()
}
