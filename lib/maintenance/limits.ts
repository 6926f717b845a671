import type { CompactionLimits } from './plan-compaction.ts'

const MB = 2 ** 20
/**
 * A value decoded takes 8 to 12 bytes: its place in a column, and in the order of rows. Two thirds of the memory are for the
 * rest.
 */
const MEMORY_BYTES_PER_VALUE = 24
/** A group's files lie beside what is written from them, both compressed, and beside the decoded rows. */
const MEMORY_PER_GROUP_BYTE = 6
/** Rows that are sorted lie beside their order, the files that they came from and those that are written. */
const MEMORY_PER_DECODED_BYTE = 3

/**
 * How large a group may be that is rewritten in so much memory: a rule of thumb, by which 1,024 MB take 44 million values, or 170
 * MB of files, at a time, and a third of the memory for their rows decoded. A table that is kept in more memory has larger files.
 *
 * @param memoryMb of the whole process, in MB of 2^20 bytes
 */
export function limitsOf(memoryMb: number): CompactionLimits {
  const memoryBytes = memoryMb * MB
  return {
    maxGroupValues: Math.floor(memoryBytes / MEMORY_BYTES_PER_VALUE),
    maxGroupBytes: Math.floor(memoryBytes / MEMORY_PER_GROUP_BYTE),
    maxMemoryBytes: Math.floor(memoryBytes / MEMORY_PER_DECODED_BYTE),
  }
}
