import { parseKafkaEvent } from '../lib/columns/event.ts'
import type { Records } from '../lib/columns/records.ts'
import type { Plan } from '../lib/pipeline/plan.ts'
import { partitionLabel } from '../lib/protocol/names.ts'
import { ingestByPartition, type PartitionReport, type Unstaged } from '../lib/runtime/ingest.ts'
import { createStagingRuntime, nameIncarnation, type StagingPorts } from '../lib/runtime/runtime.ts'
import { type IngestConfig, planForFunctions } from './config.ts'
import { ingestMetrics } from './metrics.ts'
import { once } from './once.ts'
import type { Context, Telling } from './telemetry.ts'
import { withoutValues } from './values.ts'

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
export function ingestHandler(definition: Plan, ports: StagingPorts & Telling, config: IngestConfig) {
  const plan = planForFunctions(definition, config)
  const { clock, telemetry } = ports
  // Named once per cold start: a deliberate restart fences the old incarnation's logs by their floor, so what a function with
  // the old name appends fails the floor's check, and is acknowledged to nobody.
  const runtime = once(async () => {
    const incarnation = await nameIncarnation(ports.log, ports.random, plan.name)
    return createStagingRuntime({ plan, ports, staging: config.staging, incarnation })
  })

  return async (event: unknown, context: Context): Promise<PartialResponse | undefined> => {
    const startMs = clock.now()
    telemetry.begin(context)
    let deliveries: readonly Records[] = []
    let report: PartitionReport | undefined
    try {
      deliveries = parseKafkaEvent(event)
      report = await ingestByPartition(await runtime(), deliveries)
      const { unstaged, reasons } = report
      const enough = config.partialResponses && unstaged.length < deliveries.length
      if (unstaged.length > 0 && !enough) throw unstaged[0].error
      for (const one of unstaged)
        telemetry.error(withoutValues(one.error), { partition: labelOf(one), fromOffset: one.records.offsets[0] })
      const endMs = clock.now()
      const metrics = ingestMetrics(report, endMs)
      telemetry.info('staged', { ...metrics, partitions: deliveries.length - unstaged.length, reasons, ms: endMs - startMs })
      telemetry.publish(metrics)
      return unstaged.length === 0 ? undefined : { batchItemFailures: unstaged.map(failureOf) }
    } catch (thrown) {
      const error = withoutValues(thrown)
      telemetry.error(error)
      // Some of it may be staged all the same, and is not counted again when it comes again.
      if (report !== undefined) telemetry.publish(ingestMetrics(report, clock.now()))
      else if (deliveries.length > 0) telemetry.publish({ unstagedPartitions: deliveries.length })
      throw error
    }
  }
}

const labelOf = ({ records }: Unstaged): string => partitionLabel(records.topic, records.partition)

/** From its first record on: those of them that are staged are found in. */
function failureOf(unstaged: Unstaged): PartialResponse['batchItemFailures'][number] {
  return { itemIdentifier: { partition: labelOf(unstaged), offset: unstaged.records.offsets[0] } }
}
