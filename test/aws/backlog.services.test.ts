import { expect, test } from 'vitest'
import { backlog } from '../../bench/backlog.ts'

/** `bench/backlog.ts` with ten million tells the same, and takes longer. */
const RECORDS = 300_000
const MAX_CHECKPOINT_BYTES = 1_000_000
const MEMORY_MB = 256

test('a backlog is worked off in bounded steps within its memory, and each record lands once', async () => {
  const { staged, rounds, maxRowsPerRound, peakRssMb, rows } = await backlog({
    records: RECORDS,
    maxCheckpointBytes: MAX_CHECKPOINT_BYTES,
    memoryMb: MEMORY_MB,
    timeoutMs: 60_000,
  })
  console.log(JSON.stringify({ figure: 'backlog', staged, rounds, maxRowsPerRound, peakRssMb }))
  const leastRounds = Math.ceil(staged.bytes / MAX_CHECKPOINT_BYTES)
  expect(leastRounds).toBeGreaterThan(5)
  expect(rounds).toBeGreaterThanOrEqual(leastRounds)
  // Bytes are what is bounded; rows are near it, for these are much alike.
  expect(maxRowsPerRound).toBeLessThan((1.1 * MAX_CHECKPOINT_BYTES * staged.records) / staged.bytes)
  expect(peakRssMb).toBeLessThan(MEMORY_MB)

  // With them comes a last trade in each of four partitions, which closes all windows but its own.
  const LAST = 4
  expect(staged.records).toBe(RECORDS + LAST)
  expect(staged.deadLetters).toBeGreaterThan(0)
  expect(staged.late).toBeGreaterThan(0)
  expect(rows).toMatchObject({ deadLetters: staged.deadLetters, late: staged.late })
  expect(rows.rawTrades).toBe(staged.records - staged.deadLetters)
  expect(rows.tradesInWindows).toBe(rows.rawTrades - staged.late - LAST)
  expect(rows.expectedOffsets).toBe(staged.records)
  expect(rows).toMatchObject({ offsets: staged.records, distinctOffsets: staged.records })
}, 180_000)
