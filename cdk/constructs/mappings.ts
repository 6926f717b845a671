import { Duration, Token } from 'aws-cdk-lib'
import * as lambda from 'aws-cdk-lib/aws-lambda'
import type { Construct } from 'constructs'
import { usage } from '../../lib/errors.ts'
import type { Plan } from '../../lib/pipeline/plan.ts'
import { deadLetterOptions } from './failure.ts'
import { given } from './given.ts'
import type { PollerOptions, StreamingPipelineProps } from './props.ts'
import { sourceOptions } from './source.ts'

export interface TopicGroup {
  readonly topic: string
  /** The consumer group that reads it. */
  readonly group: string
}

const MAX_GROUP_LENGTH = 200

/**
 * The groups of a pipeline are tied to the table of its logs: what a group has acknowledged is in that table or nowhere, so over
 * another table reading begins anew. Without this, a first deployment that was rolled back would lose what it had read.
 */
export function defaultGroupPrefix(plan: Plan, logTableName: string): string {
  return `frazil-${logTableName}-${plan.name}`
}

/** A mapping reads one topic, in a consumer group that no other mapping has. Throws `Usage` for one with too long a name. */
export function topicGroups(plan: Plan, prefix: string): readonly TopicGroup[] {
  const topics = new Set(Object.values(plan.sources).map(({ topic }) => topic))
  return [...topics].map((topic) => {
    const group = `${prefix}-${topic}`
    if (!Token.isUnresolved(group) && group.length > MAX_GROUP_LENGTH)
      throw usage(
        `Cannot deploy pipeline ${plan.name}: expected consumer groups of at most ${MAX_GROUP_LENGTH} characters, found ${group.length} in '${group}'. Give a shorter consumerGroup.`,
      )
    return { topic, group }
  })
}

/** Event source mappings by topic; topics are the ids. */
export function makeMappings(
  scope: Construct,
  target: lambda.Function,
  topics: readonly TopicGroup[],
  props: StreamingPipelineProps,
): Readonly<Record<string, lambda.EventSourceMapping>> {
  const { source, batchSize = 10_000, batchWindow = Duration.seconds(5), pollers, startingPosition, enabled = true } = props
  const made = topics.map(({ topic, group }) => {
    const mapping = new lambda.EventSourceMapping(scope, topic, {
      target,
      ...sourceOptions(source),
      kafkaTopic: topic,
      kafkaConsumerGroupId: group,
      enabled,
      batchSize,
      maxBatchingWindow: batchWindow,
      ...positionOptions(startingPosition),
      ...(pollers === undefined ? {} : pollerOptions(pollers, props)),
    })
    return [topic, mapping] as const
  })
  return Object.fromEntries(made)
}

function positionOptions(
  position: StreamingPipelineProps['startingPosition'] = 'TRIM_HORIZON',
): Pick<lambda.EventSourceMappingOptions, 'startingPosition' | 'startingPositionTimestamp'> {
  if (position === 'TRIM_HORIZON') return { startingPosition: lambda.StartingPosition.TRIM_HORIZON }
  return {
    startingPosition: lambda.StartingPosition.AT_TIMESTAMP,
    startingPositionTimestamp: Math.floor(position.getTime() / 1000),
  }
}

/**
 * What only a provisioned mapping can do. Retries have no end and records no age: a record never fails for what it holds, only
 * when a store is out of reach, and then waiting is right.
 */
function pollerOptions(
  { minimum, maximum, group }: PollerOptions,
  { onFailure }: StreamingPipelineProps,
): Partial<lambda.EventSourceMappingOptions> {
  const { EVENT_COUNT, ERROR_COUNT, KAFKA_METRICS } = lambda.MetricType
  return {
    provisionedPollerConfig: given({ minimumPollers: minimum, maximumPollers: maximum, pollerGroupName: group }),
    reportBatchItemFailures: true,
    bisectBatchOnError: true,
    retryAttempts: -1,
    metricsConfig: { metrics: [EVENT_COUNT, ERROR_COUNT, KAFKA_METRICS] },
    logLevel: lambda.EventSourceMappingLogLevel.WARN,
    ...(onFailure === undefined ? {} : deadLetterOptions(onFailure.destination)),
  }
}
