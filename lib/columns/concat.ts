import { corrupt } from '../errors.ts'
import { type Batch, type BytesVector, expectType, type Vector } from './batch.ts'
import { appendBytes, bytesDictionary, grownSize } from './dictionary.ts'
import type { ColumnType, Fields } from './schema.ts'

/**
 * All rows of `batches`, in order. They must have the same columns (names and types); the result carries the fields of
 * the first. Throws `Corrupt` when they differ or when there is none.
 */
export function concat(batches: readonly Batch[]): Batch {
  const [first] = batches
  if (first === undefined) throw corrupt('Cannot concatenate batches: expected at least one, found none.')
  if (batches.length === 1) return first
  const builder = batchBuilder(
    first.fields,
    batches.reduce((sum, batch) => sum + batch.rows, 0),
  )
  for (const batch of batches) builder.append(batch)
  return builder.finish()
}

/** One large batch of many small ones: `concat` for those who need not keep the small ones. */
export interface BatchBuilder {
  readonly rows: number
  /** Copies the batch's rows behind those it has. Throws `Corrupt` when the columns differ in name or type. */
  append(batch: Batch): void
  /** All rows. The builder takes nothing afterwards. */
  finish(): Batch
}

/** A builder with room for `expectedRows`; it grows when more come. Rows that do not come cost next to nothing. */
export function batchBuilder(fields: Fields, expectedRows: number): BatchBuilder {
  const columns = fields.map((field) => columnBuilder(field.type, expectedRows))
  let rows = 0
  return {
    get rows() {
      return rows
    },
    append(batch) {
      assertSame(fields, batch.fields)
      for (const [k, column] of columns.entries()) column.append(batch.vectors[k], batch.rows, rows)
      rows += batch.rows
    },
    finish: () => ({ fields, rows, vectors: columns.map((column) => column.finish(rows)) }),
  }
}

function assertSame(expected: Fields, found: Fields): void {
  if (found === expected) return
  const same =
    found.length === expected.length &&
    found.every((field, k) => field.name === expected[k].name && field.type === expected[k].type)
  if (!same) throw corrupt(`Cannot concatenate batches: expected ${describe(expected)}, found ${describe(found)}.`)
}

const describe = (fields: Fields) => fields.map((field) => `${field.name} ${field.type}`).join(', ')

interface ColumnBuilder {
  /** Takes the first `count` rows of `vector`; `at` rows are there already. */
  append(vector: Vector, count: number, at: number): void
  finish(rows: number): Vector
}

function columnBuilder(type: ColumnType, expectedRows: number): ColumnBuilder {
  const values = type === 'string' || type === 'binary' ? bytesBuilder(type, expectedRows) : fixedBuilder(type, expectedRows)
  let validity: Uint8Array<ArrayBuffer> | undefined
  return {
    append(vector, count, at) {
      values.append(vector, count, at)
      if (vector.validity === undefined && validity === undefined) return
      validity ??= new Uint8Array(Math.max(expectedRows, at)).fill(1, 0, at)
      validity = grown(validity, at + count)
      if (vector.validity === undefined) validity.fill(1, at, at + count)
      else validity.set(vector.validity.subarray(0, count), at)
    },
    finish: (rows) => ({ ...values.finish(rows), validity: validity?.subarray(0, rows) }),
  }
}

/** Bytes of a value. */
const WIDTH = { boolean: 1, int: 4, long: 8, timestamptz: 8, double: 8 } as const

function fixedBuilder(type: keyof typeof WIDTH, expectedRows: number): ColumnBuilder {
  const width = WIDTH[type]
  let memory = new Uint8Array(expectedRows * width)
  return {
    append(vector, count, at) {
      const { values } = expectType(vector, type)
      memory = grown(memory, (at + count) * width)
      memory.set(new Uint8Array(values.buffer, values.byteOffset, count * width), at * width)
    },
    finish(rows) {
      const { buffer } = memory
      const validity = undefined
      switch (type) {
        case 'boolean':
          return { type, values: new Uint8Array(buffer, 0, rows), validity }
        case 'int':
          return { type, values: new Int32Array(buffer, 0, rows), validity }
        case 'double':
          return { type, values: new Float64Array(buffer, 0, rows), validity }
        case 'long':
        case 'timestamptz':
          return { type, values: new BigInt64Array(buffer, 0, rows), validity }
      }
    },
  }
}

/**
 * Dictionaries are merged while all batches have them. One plain batch means that a dictionary did not pay there: from then on
 * values are spelled out, for merging would hash every one of them for little.
 */
function bytesBuilder(type: BytesVector['type'], expectedRows: number): ColumnBuilder {
  const dictionary = bytesDictionary()
  let isCoded = true
  /** While coded, a code per row; then, one more than rows, the values' offsets. */
  let ints = new Int32Array(expectedRows + 1)
  let bytes = new Uint8Array(0)

  function appendCodes({ codes, entries, offsets, bytes: from }: BytesVector, count: number, at: number): void {
    // Entries are merged when first used, so that unused ones (left by `take`) drop out here.
    const merged = new Int32Array(entries).fill(-1)
    for (let i = 0; i < count; i++) {
      const entry = codes === undefined ? i : codes[i]
      let code = merged[entry]
      if (code < 0) {
        code = dictionary.code(from, offsets[entry], offsets[entry + 1])
        merged[entry] = code
      }
      ints[at + i] = code
    }
  }

  function appendPlain({ codes, offsets, bytes: from }: BytesVector, count: number, at: number): void {
    let to = ints[at]
    if (codes === undefined) {
      const shift = to - offsets[0]
      bytes = grown(bytes, to + offsets[count] - offsets[0])
      bytes.set(from.subarray(offsets[0], offsets[count]), to)
      for (let i = 1; i <= count; i++) ints[at + i] = offsets[i] + shift
      return
    }
    let sizeBytes = 0
    for (let i = 0; i < count; i++) sizeBytes += offsets[codes[i] + 1] - offsets[codes[i]]
    bytes = grown(bytes, to + sizeBytes)
    for (let i = 0; i < count; i++) {
      to = appendBytes(bytes, to, from, offsets[codes[i]], offsets[codes[i] + 1])
      ints[at + i + 1] = to
    }
  }

  function spellOut(rows: number): void {
    const coded: BytesVector = { type, codes: ints, ...dictionary.entries(), validity: undefined }
    isCoded = false
    dictionary.clear()
    ints = new Int32Array(ints.length)
    appendPlain(coded, rows, 0)
  }

  return {
    append(vector, count, at) {
      const part = expectType(vector, type)
      ints = grownInts(ints, at + count + 1)
      if (isCoded && part.codes === undefined && count > 0) spellOut(at)
      if (isCoded) appendCodes(part, count, at)
      else appendPlain(part, count, at)
    },
    finish(rows) {
      const validity = undefined
      if (isCoded) return { type, codes: ints.subarray(0, rows), ...dictionary.entries(), validity }
      return {
        type,
        codes: undefined,
        entries: rows,
        offsets: ints.subarray(0, rows + 1),
        bytes: bytes.subarray(0, ints[rows]),
        validity,
      }
    },
  }
}

// Moved, not copied: what the memory was is free at once, not when garbage is next collected.
const grown = (memory: Uint8Array<ArrayBuffer>, needed: number): Uint8Array<ArrayBuffer> =>
  needed <= memory.length ? memory : new Uint8Array(memory.buffer.transfer(grownSize(memory.length, needed)))

const grownInts = (ints: Int32Array<ArrayBuffer>, needed: number): Int32Array<ArrayBuffer> =>
  needed <= ints.length ? ints : new Int32Array(ints.buffer.transfer(Math.max(needed, ints.length * 2) * 4))
