import { RemovalPolicy, Token } from 'aws-cdk-lib'
import type { Construct } from 'constructs'
import { invalidPipeline, usage } from '../../lib/errors.ts'
import type { Plan } from '../../lib/pipeline/plan.ts'
import { planOf } from '../../lib/pipeline/plan-of.ts'
import { MAX_PARTITIONS } from '../../lib/pipeline/source.ts'
import { assertEntriesFit } from '../../lib/runtime/entry-size.ts'
import { ALARMS } from './alarms.ts'
import { checkDestination, checkNetwork, checkRegions, checkSource } from './check-places.ts'
import { assertKnown, SCHEDULES, shown } from './known.ts'
import type { StreamingPipelineProps } from './props.ts'

const DAY_S = 24 * 60 * 60
const MAX_INGEST_TIMEOUT_S = 14 * 60
const MAX_TIMEOUT_S = 15 * 60
const MIN_INGEST_MB = 256
const MIN_COMMIT_MB = 512
/** More of them lose swaps of one table to each other. */
const MAX_COMPACT_CONCURRENCY = 100
const MAX_BATCH = 10_000
const GROUP = /^[a-zA-Z0-9\-/*:_+=.@]+$/

/**
 * The plan to deploy. Throws for everything that can be known before anything is deployed: `InvalidPipeline` for a definition
 * that cannot run in functions, `Usage` for properties that cannot be. CDK checks few of them, and Lambda late.
 */
export function checkedPlan(scope: Construct, props: StreamingPipelineProps): Plan {
  const plan = planOf(props.pipeline)
  assertEntriesFit(plan)
  const what = `Cannot deploy pipeline ${plan.name}`
  assertKnown(what, props)
  checkSource(what, props.source)
  checkPartitions(what, plan, props)
  checkMapping(what, props)
  checkFunctions(what, props)
  checkMaintenance(what, props)
  checkAlarms(what, props)
  checkStores(what, plan, props)
  checkRegions(what, scope, props)
  checkNetwork(what, scope, props)
  return plan
}

function checkPartitions(what: string, plan: Plan, { partitions = {} }: StreamingPipelineProps): void {
  const topics = Object.values(plan.sources).map(({ topic }) => topic)
  for (const [topic, count] of Object.entries(partitions)) {
    if (!topics.includes(topic))
      throw usage(`${what}: expected partitions of its topics (${topics.join(', ')}), found ${topic}. Set it right.`)
    if (!Number.isInteger(count) || count < 1 || count > MAX_PARTITIONS)
      throw usage(`${what}: expected 1 to ${MAX_PARTITIONS} partitions of topic ${topic}, found ${shown(count)}. Set it right.`)
  }
  const silent = Object.values(plan.sources).find(({ topic, partitions: said }) => (partitions[topic] ?? said) === undefined)
  if (silent !== undefined)
    throw invalidPipeline(
      `${what}: expected topic ${silent.topic} to say how many partitions it has, found nothing. Write partitions: { ${JSON.stringify(silent.topic)}: N } here, or partitions: N in kafka('${silent.topic}', { … }).`,
    )
}

function checkMapping(what: string, props: StreamingPipelineProps): void {
  const { batchSize = MAX_BATCH, batchWindow, startingPosition = 'TRIM_HORIZON', consumerGroup, pollers, onFailure } = props
  if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize > MAX_BATCH)
    throw usage(`${what}: expected a batchSize of 1 to ${MAX_BATCH}, found ${shown(batchSize)}. Set it right.`)
  if (batchWindow !== undefined && batchWindow.toSeconds() > 300)
    throw usage(`${what}: expected a batchWindow of 5 minutes at most, found ${batchWindow.toHumanString()}. Set it right.`)
  if (startingPosition !== 'TRIM_HORIZON' && !(startingPosition instanceof Date && !Number.isNaN(startingPosition.getTime())))
    throw usage(
      `${what}: expected startingPosition 'TRIM_HORIZON' or a Date, found ${String(startingPosition)}. From "latest" on, what is written while the mapping is being made would be skipped.`,
    )
  if (consumerGroup !== undefined && !Token.isUnresolved(consumerGroup) && !GROUP.test(consumerGroup))
    throw usage(`${what}: expected a consumerGroup of letters, digits and -/*:_+=.@, found '${consumerGroup}'. Rename it.`)
  if (pollers !== undefined) {
    const { minimum, maximum } = pollers
    const whole = Number.isInteger(minimum) && Number.isInteger(maximum)
    if (!whole || minimum < 1 || minimum > 200 || maximum < minimum || maximum > 2000)
      throw usage(
        `${what}: expected pollers of a minimum of 1 to 200 and a maximum from there to 2000, found ${shown(minimum)} and ${shown(maximum)}. Set them right.`,
      )
  }
  if (onFailure === undefined) return
  if (pollers === undefined)
    throw usage(
      `${what}: expected pollers with onFailure, found none. A mapping on demand retries without end whatever it is told; add pollers, or leave onFailure out.`,
    )
  if (onFailure.acceptLoss !== true)
    throw usage(
      `${what}: expected onFailure with acceptLoss: true, found ${String(onFailure.acceptLoss)}. A destination turns endless retries into ten, so an outage would skip records, which then show as gaps. Leave onFailure out to lose nothing.`,
    )
  checkDestination(what, props)
}

function checkFunctions(what: string, props: StreamingPipelineProps): void {
  const { ingestMemoryMb, commitMemoryMb, ingestTimeout, commitTimeout, commitEvery, commitConcurrency = 1, vpc } = props
  const least = (name: string, value: number | undefined, min: number, why: string) => {
    if (value !== undefined && !(Number.isInteger(value) && value >= min && value <= 10_240))
      throw usage(`${what}: expected ${name} of ${min} to 10240, found ${shown(value)}. ${why}`)
  }
  least('ingestMemoryMb', ingestMemoryMb, MIN_INGEST_MB, 'An event of 6 MB peaks at 180 MB.')
  least('commitMemoryMb', commitMemoryMb, MIN_COMMIT_MB, 'Windows that close peak at 470 MB.')
  const most = (name: string, value: number | undefined, max: number) => {
    if (value !== undefined && (value < 1 || value > max))
      throw usage(`${what}: expected ${name} of 1 s to ${max / 60} minutes, found ${value} s. Set it right.`)
  }
  most('ingestTimeout', ingestTimeout?.toSeconds(), MAX_INGEST_TIMEOUT_S)
  most('commitTimeout', commitTimeout?.toSeconds(), MAX_TIMEOUT_S)
  const everyS = commitEvery?.toSeconds() ?? 60
  if (everyS < 60 || everyS % 60 !== 0)
    throw usage(`${what}: expected commitEvery in whole minutes, found ${everyS} s. A schedule knows nothing shorter.`)
  if (everyS > DAY_S) throw usage(`${what}: expected commitEvery of 1 day at most, found ${everyS} s. Alarms count no longer.`)
  if (commitConcurrency !== 'unreserved' && !(Number.isInteger(commitConcurrency) && commitConcurrency >= 1))
    throw usage(
      `${what}: expected commitConcurrency of 1 or more, or 'unreserved', found ${shown(commitConcurrency)}. With 0 nothing would ever be committed.`,
    )
  if (vpc === undefined && (props.subnets !== undefined || props.securityGroups !== undefined))
    throw usage(`${what}: expected a vpc with subnets and securityGroups, found none. Give it, or leave both out.`)
  const ours = Object.keys(props.environment ?? {}).find((name) => name.startsWith('FRAZIL_'))
  if (ours !== undefined)
    throw usage(`${what}: expected no variable of Frazil's in environment, found ${ours}. The construct sets them itself.`)
}

function checkMaintenance(what: string, props: StreamingPipelineProps): void {
  const { compactMemoryMb = MIN_COMMIT_MB, compactConcurrency = 1 } = props
  for (const name of SCHEDULES) {
    const every = props[name]
    if (every === undefined || every === 'never') continue
    const everyS = every.toSeconds()
    if (everyS < 60 || everyS % 60 !== 0 || everyS > 7 * DAY_S)
      throw usage(`${what}: expected ${name} in whole minutes, at most 7 days, found ${everyS} s. Set it right, or to 'never'.`)
  }
  if (!Number.isInteger(compactMemoryMb) || compactMemoryMb < MIN_COMMIT_MB || compactMemoryMb > 10_240)
    throw usage(
      `${what}: expected compactMemoryMb of ${MIN_COMMIT_MB} to 10240, found ${shown(compactMemoryMb)}. Files get no larger than a sixth of it.`,
    )
  if (!Number.isInteger(compactConcurrency) || compactConcurrency < 1 || compactConcurrency > MAX_COMPACT_CONCURRENCY)
    throw usage(
      `${what}: expected compactConcurrency of 1 to ${MAX_COMPACT_CONCURRENCY}, found ${shown(compactConcurrency)}. Set compactEvery to 'never' for none.`,
    )
}

function checkAlarms(what: string, { withoutAlarms, alarmThresholds = {}, commitEvery }: StreamingPipelineProps): void {
  const unknown = withoutAlarms?.find((name) => !ALARMS.includes(name))
  if (unknown !== undefined)
    throw usage(`${what}: expected withoutAlarms of ${ALARMS.join(', ')}, found ${unknown}. Set it right.`)
  const { watermarkLag: _, ...numbers } = alarmThresholds
  for (const [name, value] of Object.entries(numbers))
    if (value !== undefined && !(typeof value === 'number' && value >= 0))
      throw usage(`${what}: expected alarmThresholds.${name} of 0 or more, found ${shown(value)}. Set it right.`)
  const everyS = commitEvery?.toSeconds() ?? 60
  // CloudWatch looks back over a day, or over a week by periods of an hour and more.
  const most = Math.floor((everyS < 3600 ? DAY_S : 7 * DAY_S) / everyS)
  const { intervalsWithoutCommit: intervals = 1 } = alarmThresholds
  if (!Number.isInteger(intervals) || intervals < 1 || intervals > most)
    throw usage(
      `${what}: expected alarmThresholds.intervalsWithoutCommit of 1 to ${most}, found ${intervals}. CloudWatch looks back no further.`,
    )
}

function checkStores(
  what: string,
  plan: Plan,
  { prefix = '', database, bucket, accessLogsBucket, removalPolicy }: StreamingPipelineProps,
): void {
  if (removalPolicy === RemovalPolicy.SNAPSHOT)
    throw usage(
      `${what}: expected removalPolicy RETAIN, RETAIN_ON_UPDATE_OR_DELETE or DESTROY, found SNAPSHOT. Neither bucket nor table can be kept as a snapshot.`,
    )
  if (prefix !== '' && !/^(?:[\w.=-]+\/)+$/.test(prefix))
    throw usage(`${what}: expected a prefix such as 'lake/trades/', found '${prefix}'. End it with a slash, and begin with none.`)
  if (database !== undefined && database !== plan.namespace)
    throw usage(
      `${what}: expected database '${plan.namespace}', the namespace of the definition, found '${database}'. Write namespace: '${database}' in pipeline('${plan.name}', { … }).`,
    )
  if (bucket !== undefined && accessLogsBucket !== undefined)
    throw usage(`${what}: expected accessLogsBucket for a bucket that is made here, found a bucket. Set it on that bucket.`)
}
