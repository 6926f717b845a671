import { column, kafka, minutes, pipeline, seconds, timestampMillis, tumbling } from '../../lib/index.ts'
import { planOf } from '../../lib/pipeline/plan-of.ts'
import type { Row } from './kafka.ts'
import { dead, dress, NUMBERS, type Workload } from './workload.ts'

/** A second pipeline: allowed lateness, a filter, a computed column, optional columns, two aggregates of different windows. */
const readings = kafka('readings', {
  id: 'sensors',
  schema: {
    device: column.string(),
    at: column.long(),
    value: column.double(),
    amount: column.long().optional(),
    site: column.string().optional(),
    valid: column.boolean().optional(),
  },
  computed: { measured_at: (c) => timestampMillis(c.at) },
  eventTime: 'measured_at',
  watermark: { delay: seconds(10), maxAhead: minutes(10) },
})

const valid = readings.filter((c) => c.valid)

const definition = pipeline('sensors', {
  namespace: 'plant',
  sinks: [
    valid.appendTo('valid_readings', {
      partitionBy: ['day(measured_at)', 'site'],
      sortBy: ['device', 'measured_at desc'],
    }),
    readings
      .select('device', 'at', 'value', 'amount', 'site', 'valid', 'measured_at', 'kafka_partition', 'kafka_offset')
      .appendTo('all_readings'),
    valid
      .keyBy('device')
      .window(tumbling(minutes(1)), { allowedLateness: seconds(45) })
      .aggregate((a) => ({
        n: a.count(),
        total: a.sum('amount'),
        mean: a.avg('value'),
        peak: a.max('value'),
        first_site: a.first('site'),
      }))
      .appendTo('device_1m', { late: { table: 'device_too_late' } }),
    readings
      .keyBy('site', 'valid')
      .window(tumbling(minutes(5)))
      .aggregate((a) => ({
        n: a.count(),
        least: a.min('amount'),
        mean_amount: a.avg('amount'),
        sum_value: a.sum('value'),
        last_device: a.last('device'),
      }))
      .appendTo('site_5m', { partitionBy: ['hour(window_start)'], sortBy: ['site'] }),
  ],
})

const isValid = (row: Row): boolean => row.valid === true
const AMOUNTS = ['0', '-0', '7', '-12', '9007199254740993', '9223372036854775807', '-9223372036854775808']

export const sensors: Workload = {
  plan: planOf(definition),
  oracle: {
    pipeline: 'sensors',
    source: 'sensors',
    topic: 'readings',
    delayMs: 10_000,
    deadLetters: 'dead_letters',
    rows: [
      { table: 'valid_readings', keep: isValid },
      { table: 'all_readings', keep: () => true },
    ],
    aggregates: [
      {
        table: 'device_1m',
        lateTable: 'device_too_late',
        windowMs: 60_000,
        allowedLatenessMs: 45_000,
        keys: ['device'],
        keep: isValid,
        aggregates: [
          { name: 'n', fn: 'count' },
          { name: 'total', fn: 'sum', of: 'amount' },
          { name: 'mean', fn: 'avg', of: 'value' },
          { name: 'peak', fn: 'max', of: 'value' },
          { name: 'first_site', fn: 'first', of: 'site' },
        ],
      },
      {
        table: 'site_5m',
        lateTable: 'site_5m_late',
        windowMs: 300_000,
        allowedLatenessMs: 0,
        keys: ['site', 'valid'],
        keep: () => true,
        aggregates: [
          { name: 'n', fn: 'count' },
          { name: 'least', fn: 'min', of: 'amount' },
          { name: 'mean_amount', fn: 'avg', of: 'amount' },
          { name: 'sum_value', fn: 'sum', of: 'value' },
          { name: 'last_device', fn: 'last', of: 'device' },
        ],
      },
    ],
  },
  content(rng, eventTimeMs, kafkaMs, poison) {
    const device = rng.pick(['a', 'b', 'c'])
    const value = rng.chance(0.6) ? rng.pick(NUMBERS) : rng.next().toString()
    const amount = rng.pick([undefined, null, ...AMOUNTS, rng.int(1000).toString()])
    const site = rng.pick([undefined, null, 'north', '', 'süd'])
    const valid = rng.pick([true, true, true, false, null, undefined])
    const parts = [`"device":"${device}"`, `"at":${eventTimeMs}`, `"value":${value}`]
    if (amount !== undefined) parts.push(`"amount":${amount}`)
    if (site !== undefined) parts.push(`"site":${JSON.stringify(site)}`)
    if (valid !== undefined) parts.push(`"valid":${valid}`)
    const good = `{${parts.join(',')}}`
    if (rng.chance(poison)) return dead(rng, device, good)
    const row: Row = {
      device,
      at: BigInt(eventTimeMs),
      value: Number(value),
      amount: amount === undefined || amount === null ? null : BigInt(amount),
      site: site ?? null,
      valid: valid ?? null,
      measured_at: BigInt(eventTimeMs) * 1000n,
    }
    return {
      key: device,
      value: dress(rng, good, '"device":"first","value":5,'),
      row: eventTimeMs > kafkaMs + 600_000 ? undefined : row,
      eventTimeMs,
    }
  },
}
