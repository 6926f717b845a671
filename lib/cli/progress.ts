import type { RunProgress } from '../local/run.ts'
import { counted, shownBytes, shownCount, shownDuration, shownMillis } from './format.ts'

/** A terminal's line is rewritten this often; elsewhere a line is a line. */
const TERMINAL_EVERY_MS = 100
const LINES_EVERY_MS = 5000
/** Of terminals that do not say. */
const DEFAULT_COLUMNS = 80

export interface ProgressDisplay {
  show(progress: RunProgress): void
  /** Takes the rewritten line away. */
  end(): void
}

/** Progress on stderr: one line rewritten in place on a terminal, else a line every few seconds; nothing when `quiet`. */
export function progressDisplay(stream: NodeJS.WriteStream, quiet: boolean): ProgressDisplay {
  const rewrites = stream.isTTY === true
  if (quiet && !rewrites) return { show() {}, end() {} }
  const everyMs = rewrites ? TERMINAL_EVERY_MS : LINES_EVERY_MS
  // Without a terminal nothing is said of what is over before the first interval is.
  let shownAtMs = rewrites ? Number.NEGATIVE_INFINITY : performance.now()
  return {
    show(progress) {
      const nowMs = performance.now()
      if (nowMs - shownAtMs < everyMs) return
      shownAtMs = nowMs
      const line = progressLine(progress)
      stream.write(rewrites ? `\r\x1b[2K${line.slice(0, Math.max(1, (stream.columns || DEFAULT_COLUMNS) - 1))}` : `${line}\n`)
    },
    end() {
      if (rewrites) stream.write('\r\x1b[2K')
    },
  }
}

export function progressLine(progress: RunProgress): string {
  const { phase, records, late, deadLetters, missing, checkpoint, watermarkMs, bytesRead, totalBytes } = progress
  if (phase === 'starting') return 'starting'
  const readingMs = progress.elapsedMs - progress.startupMs
  const parts = [counted(records, 'record')]
  if (phase === 'reading' && readingMs > 0) parts.push(`${shownCount((records / readingMs) * 1000)}/s`)
  if (totalBytes !== undefined && totalBytes > 0 && phase === 'reading') parts.push(share(bytesRead, totalBytes, readingMs))
  parts.push(`${shownCount(late)} late`, counted(deadLetters, 'dead letter'))
  if (missing > 0) parts.push(`${shownCount(missing)} missing`)
  parts.push(`checkpoint ${checkpoint}`)
  if (watermarkMs !== null) parts.push(`watermark ${shownMillis(watermarkMs)}`)
  return `${phase}: ${parts.join(' · ')}`
}

function share(bytesRead: number, totalBytes: number, readingMs: number): string {
  const part = Math.min(1, bytesRead / totalBytes)
  const left = part > 0.01 ? `, ${shownDuration((readingMs * (1 - part)) / part)} left` : ''
  return `${Math.floor(part * 100)} % of ${shownBytes(totalBytes)}${left}`
}
