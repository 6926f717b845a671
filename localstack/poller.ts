import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import {
  type EventSourceMappingConfiguration,
  InvokeCommand,
  LambdaClient,
  paginateListEventSourceMappings,
} from '@aws-sdk/client-lambda'
import { FrazilError, messageOf, usage } from '../lib/errors.ts'
import { type Mapping, startMapping } from '../lib/local/event-source-mapping.ts'
import type { InvocationReport } from '../lib/local/mapping-run.ts'

const HELP = `node localstack/poller.ts --stack STACK --topic TOPIC --brokers HOST:PORT[,…]
Polls a topic for the event source mapping of a deployed stack, since no emulator polls Kafka. It calls the mapping's function by
the Lambda API at AWS_ENDPOINT_URL, and ends at SIGTERM.`

/** Between looks for a mapping that is not deployed yet, and between looks at how far the mapping is. */
const LOOK_EVERY_MS = 1000

export interface PollerOptions {
  readonly lambda: LambdaClient
  /** Name of the CloudFormation stack: names of its functions begin with it. */
  readonly stack: string
  readonly topic: string
  readonly brokers: readonly string[]
  /** @default a new one */
  readonly consumerGroup?: string
  readonly onInvocation?: (report: InvocationReport) => void
  /** What the function said when it failed: the same records come again. */
  readonly onFunctionError?: (payload: string) => void
}

/**
 * The local mapping, set as the deployed one is: batch size, window, partial responses. Of the deployed one an emulator keeps
 * neither topic nor brokers. Undefined as long as the stack has no mapping.
 */
export async function startPoller(poller: PollerOptions): Promise<Mapping | undefined> {
  const { lambda, stack, topic, onFunctionError, ...options } = poller
  const deployed = await deployedMapping(lambda, stack)
  if (deployed?.FunctionArn === undefined) return undefined
  const { FunctionArn: functionName, FunctionResponseTypes: responses = [] } = deployed
  return startMapping({
    ...options,
    topics: [topic],
    functionName,
    eventSource: 'SelfManagedKafka',
    ...(deployed.BatchSize !== undefined && { batchSize: deployed.BatchSize }),
    ...(deployed.MaximumBatchingWindowInSeconds !== undefined && {
      batchingWindowMs: deployed.MaximumBatchingWindowInSeconds * 1000,
    }),
    ...(responses.includes('ReportBatchItemFailures') && { provisioned: { partialResponses: true, bisect: true } }),
    async invoke(event) {
      const answer = await lambda.send(new InvokeCommand({ FunctionName: functionName, Payload: event }))
      const payload = answer.Payload?.transformToString() ?? 'null'
      if (answer.FunctionError !== undefined) onFunctionError?.(payload)
      return { functionError: answer.FunctionError, payload }
    },
  })
}

/** Throws `Usage` for a stack with several: which of them is the topic's an emulator does not know. */
async function deployedMapping(lambda: LambdaClient, stack: string): Promise<EventSourceMappingConfiguration | undefined> {
  const found: EventSourceMappingConfiguration[] = []
  for await (const { EventSourceMappings: page = [] } of paginateListEventSourceMappings({ client: lambda }, {}))
    found.push(...page.filter(({ FunctionArn: arn = '' }) => arn.includes(`:function:${stack}-`)))
  if (found.length > 1)
    throw usage(`Cannot poll for stack ${stack}: expected one event source mapping, found ${found.length}. Deploy one topic.`)
  return found[0]
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const
  const { values } = parseArgs({ options: { stack: text, topic: text, brokers: text } })
  const { stack, topic, brokers } = values
  if (stack === undefined || topic === undefined || brokers === undefined) throw usage(HELP)
  const lambda = new LambdaClient({ maxAttempts: 1 })
  const stopped = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stopped.abort())
  const pause = () => delay(LOOK_EVERY_MS, undefined, { signal: stopped.signal }).catch(() => {})
  const options: PollerOptions = {
    lambda,
    stack,
    topic,
    brokers: brokers.split(','),
    consumerGroup: `frazil-poller-${stack}-${topic}`,
    onInvocation: ({ records, payloadBytes, attempt, durationMs, outcome }) =>
      console.log(JSON.stringify({ records, payloadBytes, attempt, durationMs: Math.round(durationMs), outcome })),
    onFunctionError: (payload) => console.error(`a call failed: ${payload}`),
  }

  let mapping: Mapping | undefined
  console.log(`waiting for the event source mapping of stack ${stack}`)
  while (mapping === undefined && !stopped.signal.aborted) {
    mapping = await startPoller(options)
    if (mapping === undefined) await pause()
  }
  if (mapping === undefined) return
  console.log(`polling ${topic} at ${brokers}`)
  const { signal } = stopped
  signal.addEventListener('abort', () => void mapping.stop().catch(() => {}), { once: true })
  while (!signal.aborted) {
    // Rejects when the mapping fails: that ends the process.
    await mapping.caughtUp().catch((error) => {
      if (!signal.aborted) throw error
    })
    await pause()
  }
  await mapping.stop()
  lambda.destroy()
}

if (import.meta.main)
  await main().catch((error) => {
    console.error(error instanceof FrazilError ? error.message : messageOf(error))
    process.exit(2)
  })
