import { parseKafkaEvent } from '../lib/columns/event.ts'
import type { Records } from '../lib/columns/records.ts'
import type { Plan } from '../lib/pipeline/plan.ts'
import { partitionLabel } from '../lib/protocol/names.ts'
import { ingest, ingestByPartition, type PartitionReport, type Unstaged } from '../lib/runtime/ingest.ts'
import { createStagingRuntime, nameIncarnation, type StagingPorts, type StagingRuntime } from '../lib/runtime/runtime.ts'
import { type IngestConfig, planForFunctions } from './config.ts'
import { type Context, fail, info, type Printing } from './logging.ts'
import { once } from './once.ts'

/** "Partial batch response" of a Kafka event source: from which offset of which partition on records come again. */
export interface PartialResponse {
  readonly batchItemFailures: readonly {
    readonly itemIdentifier: { readonly partition: string; readonly offset: number }
  }[]
}

/**
 * The handler of Kafka events: returns when every record is staged. Otherwise it throws, so that the whole event comes again
 * and finds what is in already; with `partialResponses` it tells which partitions are to come again, and throws only when
 * none is staged or when the event itself cannot be read. Throws `InvalidPipeline` for a plan that cannot run in functions.
 */
export function ingestHandler(definition: Plan, ports: StagingPorts & Printing, config: IngestConfig) {
  const plan = planForFunctions(definition, config)
  // Named once per cold start: a deliberate restart fences the old incarnation's logs by their floor, so what a function with
  // the old name appends fails the floor's check, and is acknowledged to nobody.
  const runtime = once(async () => {
    const incarnation = await nameIncarnation(ports.log, ports.random, plan.name)
    return createStagingRuntime({ plan, ports, staging: config.staging, incarnation })
  })

  const staged = async (open: StagingRuntime, deliveries: readonly Records[]): Promise<PartitionReport> =>
    config.partialResponses ? ingestByPartition(open, deliveries) : { ...(await ingest(open, deliveries)), unstaged: [] }

  return async (event: unknown, context: Context): Promise<PartialResponse | undefined> => {
    const startMs = ports.clock.now()
    try {
      const deliveries = parseKafkaEvent(event)
      const { unstaged, ...counts } = await staged(await runtime(), deliveries)
      if (unstaged.length > 0 && unstaged.length === deliveries.length) throw unstaged[0].error
      for (const one of unstaged) fail(ports, context, one.error, { partition: labelOf(one), fromOffset: one.records.offsets[0] })
      info(ports, context, 'staged', {
        ...counts,
        partitions: deliveries.length - unstaged.length,
        unstaged: unstaged.length,
        ms: ports.clock.now() - startMs,
      })
      return unstaged.length === 0 ? undefined : { batchItemFailures: unstaged.map(failureOf) }
    } catch (error) {
      fail(ports, context, error)
      throw error
    }
  }
}

const labelOf = ({ records }: Unstaged): string => partitionLabel(records.topic, records.partition)

/** From its first record on: those of them that are staged are found in. */
function failureOf(unstaged: Unstaged): PartialResponse['batchItemFailures'][number] {
  return { itemIdentifier: { partition: labelOf(unstaged), offset: unstaged.records.offsets[0] } }
}
