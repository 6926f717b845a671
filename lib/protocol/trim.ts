/**
 * How far a log may be trimmed. A staging log: what an appended checkpoint consumed, but never the tail, which holds `next`
 * and the watermark (protocol rules 2, 3). The checkpoint log: everything before its tail.
 */
export function stagingTrimFloor(consumedSlot: number, tailSlot: number): number {
  return Math.max(0, Math.min(consumedSlot, tailSlot - 1))
}

export function checkpointTrimFloor(tailSlot: number): number {
  return Math.max(0, tailSlot - 1)
}
