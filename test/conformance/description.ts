import type { TableDescription } from '../../lib/ports/catalog.ts'

/** What tests enter beside a pointer. */
export const DESCRIPTION: TableDescription = {
  location: 'memory://w/trades/raw_trades',
  columns: [
    { id: 1, name: 'symbol', type: 'string', required: true },
    { id: 2, name: 'price', type: 'double', required: false },
  ],
}
