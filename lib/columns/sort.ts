import type { Batch, BytesVector, Vector } from './batch.ts'
import { vectorOf } from './batch.ts'

/**
 * Row numbers in sort order, stable; nulls first in ascending order, last in descending (Iceberg's defaults, and what the
 * tables declare). Doubles order -0 below 0; strings and binary order bytewise.
 */
export function sortedRows(
  batch: Batch,
  sortBy: readonly { readonly column: string; readonly direction: 'asc' | 'desc' }[],
): Int32Array {
  const keys = sortBy.map(({ column, direction }) => ({
    rank: ranks(vectorOf(batch, column), batch.rows),
    sign: direction === 'asc' ? 1 : -1,
  }))
  const rows = new Int32Array(batch.rows)
  for (let i = 0; i < rows.length; i++) rows[i] = i
  return rows.sort((a, b) => {
    for (const { rank, sign } of keys) {
      const order = rank(a, b)
      if (order !== 0) return sign * order
    }
    return a - b
  })
}

/** A comparison of rows by one column. */
function ranks(vector: Vector, rows: number): (a: number, b: number) => number {
  const compare = comparison(vector, rows)
  const { validity } = vector
  if (validity === undefined) return compare
  return (a, b) => (validity[a] === 1 && validity[b] === 1 ? compare(a, b) : validity[a] - validity[b])
}

function comparison(vector: Vector, rows: number): (a: number, b: number) => number {
  switch (vector.type) {
    case 'string':
    case 'binary': {
      const rank = bytesRanks(vector, rows)
      return (a, b) => rank[a] - rank[b]
    }
    case 'long':
    case 'timestamptz': {
      const { values } = vector
      return (a, b) => (values[a] < values[b] ? -1 : values[a] > values[b] ? 1 : 0)
    }
    case 'double': {
      const { values } = vector
      return (a, b) => (values[a] < values[b] ? -1 : values[a] > values[b] ? 1 : signOfZero(values[a]) - signOfZero(values[b]))
    }
    case 'int':
    case 'boolean': {
      const { values } = vector
      return (a, b) => values[a] - values[b]
    }
  }
}

const signOfZero = (value: number): number => (Object.is(value, -0) ? -1 : 0)

/** The position of each row's bytes among the distinct entries: dictionary entries are compared once, not row by row. */
function bytesRanks(vector: BytesVector, rows: number): Int32Array {
  const { codes, entries, offsets, bytes } = vector
  const entry = (k: number) => bytes.subarray(offsets[k], offsets[k + 1])
  const order = Array.from({ length: entries }, (_, k) => k).sort((a, b) => Buffer.compare(entry(a), entry(b)))
  const rank = new Int32Array(entries)
  for (const [i, k] of order.entries())
    rank[k] = i > 0 && Buffer.compare(entry(order[i - 1]), entry(k)) === 0 ? rank[order[i - 1]] : i
  const result = new Int32Array(rows)
  for (let i = 0; i < rows; i++) result[i] = rank[codes === undefined ? i : codes[i]]
  return result
}
