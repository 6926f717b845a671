import type { Plan } from '../pipeline/plan.ts'
import type { Load } from './load.ts'
import { MONTH_SECONDS } from './month.ts'
import { PRICES, priced } from './prices.ts'

/** Another service for the same load. */
export interface Peer {
  readonly name: string
  /** A month; null where there is no price to rely on. */
  readonly dollars: number | null
  readonly dollarsPerMillion: number | null
  /** What the figure rests on. */
  readonly assumes: string
  /** What it does not do, or asks for, that this pipeline does not. */
  readonly lacks: string
}

const HOURS = MONTH_SECONDS / 3600
const GB = 1e9
const MB = 1e6

/** What one KPU is taken to do: generous to Flink, whose own guide says to measure. */
const KPU_RECORDS_PER_SECOND = 20_000
const KPU_BYTES_PER_SECOND = 10 * MB
/** https://docs.aws.amazon.com/managed-flink/latest/java/how-resources.html */
const KPU_STORAGE_GB = 50
/** https://docs.aws.amazon.com/managed-flink/latest/java/how-pricing.html */
const ORCHESTRATION_KPUS = 1
/** For a freshness of five minutes, https://docs.aws.amazon.com/msk/latest/developerguide/msk-data-delivery-concepts.html */
const DELIVERY_LEAST_BYTES_PER_SECOND = 2.4 * MB

/**
 * What Managed Flink, Firehose and MSK Data Delivery ask for the same load; Kafka, S3 and the catalog are extra for all three.
 */
export function peersOf(plan: Plan, load: Load): readonly Peer[] {
  const millions = (load.recordsPerSecond * MONTH_SECONDS) / 1e6
  const peer = (name: string, dollars: number | null, assumes: string, lacks: string): Peer => ({
    name,
    dollars,
    dollarsPerMillion: dollars === null ? null : dollars / millions,
    assumes,
    lacks,
  })
  const windows = Object.keys(plan.operators).length > 0 ? 'no windows, ' : ''
  return [flink(load, peer), firehose(load, peer, windows), delivery(load, peer, windows)]
}

type MakePeer = (name: string, dollars: number | null, assumes: string, lacks: string) => Peer

function flink({ recordsPerSecond, valueBytes }: Load, peer: MakePeer): Peer {
  const kpus = Math.max(
    1,
    Math.ceil(recordsPerSecond / KPU_RECORDS_PER_SECOND),
    Math.ceil((recordsPerSecond * valueBytes) / KPU_BYTES_PER_SECOND),
  )
  const dollars =
    priced(PRICES.flinkKpuHour, (kpus + ORCHESTRATION_KPUS) * HOURS) + priced(PRICES.flinkStorageGbMonth, kpus * KPU_STORAGE_GB)
  return peer(
    'Managed Flink',
    dollars,
    `${kpus} KPU at work with 50 GB each, taken to do 20,000 records or 10 MB a second; 1 KPU to orchestrate`,
    'does more (joins, sessions, results in seconds); the job is yours to write, tune and upgrade',
  )
}

function firehose({ recordsPerSecond, valueBytes }: Load, peer: MakePeer, windows: string): Peer {
  const dollars = priced(PRICES.firehoseIcebergGb, (recordsPerSecond * valueBytes * MONTH_SECONDS) / GB)
  return peer(
    'Firehose into Iceberg',
    dollars,
    `${PRICES.firehoseIcebergGb.assumed}; from a topic of MSK, whose records are not rounded up as those put directly are, to 5 KB`,
    `${windows}at least once, so duplicates; columns are computed by a function of yours, if at all`,
  )
}

function delivery({ recordsPerSecond, valueBytes }: Load, peer: MakePeer, windows: string): Peer {
  const slow = recordsPerSecond * valueBytes < DELIVERY_LEAST_BYTES_PER_SECOND
  return peer(
    'MSK Data Delivery',
    null,
    slow ? 'below the 2.4 MB a second that 5 minutes of freshness need, so rows wait up to 15' : 'rows wait 5 minutes or more',
    `${windows}no schema evolution, no backfill; JSON with a Glue schema, from Express brokers, into S3 Tables that only MSK writes`,
  )
}
