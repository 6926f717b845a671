import type { CompactionLimits } from './plan-compaction.ts'

/**
 * What a group may take in a process of so much memory (MB). A sorted group holds its rows decoded, twice for a moment, and what it writes:
 * some 20 bytes a value at the peak.
 */
export function limitsOf(memoryMb: number): CompactionLimits {
  const bytes = memoryMb * 2 ** 20
  return { maxGroupBytes: Math.floor(bytes / 6), maxGroupValues: Math.floor(bytes / 24) }
}
