import { numbered } from '../lib/columns/schema.ts'

/** The columns of the pipeline's `raw_trades`. */
export const TRADE_FIELDS = numbered([
  { name: 'symbol', type: 'string', required: true },
  { name: 'ts', type: 'long', required: true },
  { name: 'price', type: 'double', required: true },
  { name: 'qty', type: 'double', required: true },
  { name: 'side', type: 'string', required: false },
  { name: 'event_time', type: 'timestamptz', required: true },
  { name: 'kafka_partition', type: 'int', required: true },
  { name: 'kafka_offset', type: 'long', required: true },
])

/** A line of `generateTrades`. */
export interface Trade {
  readonly symbol: string
  readonly ts: number
  readonly price: number
  readonly qty: number
  readonly side: string
}
