/** How figures are shown to people: the same everywhere. */
const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })

/** `1,234,567` */
export const shownCount = (n: number | bigint): string => whole.format(n)

/** `1 dead letter`, `2 dead letters`. */
export const counted = (n: number, one: string): string => `${shownCount(n)} ${one}${n === 1 ? '' : 's'}`

/** `0 B`, `812 kB`, `49.5 MB`: powers of 1,000. */
export function shownBytes(bytes: number): string {
  let value = bytes
  for (const unit of ['B', 'kB', 'MB', 'GB']) {
    if (value < 999.5) return `${value < 10 && unit !== 'B' ? value.toFixed(1) : Math.round(value)} ${unit}`
    value /= 1000
  }
  return `${value.toFixed(1)} TB`
}

/** `0.4 s`, `12.3 s`, `3 min 05 s`, `2 h 07 min` */
export function shownDuration(ms: number): string {
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  const two = (n: number) => String(n).padStart(2, '0')
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`
  return `${Math.floor(seconds / 3600)} h ${two(Math.floor((seconds % 3600) / 60))} min`
}

/** ISO 8601 in UTC, without a fraction of zero; any microseconds that a timestamptz holds. */
export function shownMicros(micros: bigint): string {
  const perMs = 1000n
  const ms = micros / perMs - (micros % perMs < 0n ? 1n : 0n)
  const rest = micros - ms * perMs
  const date = new Date(Number(ms))
  // A Date holds ±8.64e15 ms; 64 bits of microseconds reach a little further than that only on paper (±9.2e15 ms).
  if (Number.isNaN(date.getTime())) return `${micros} µs`
  const fraction = `${String(date.getUTCMilliseconds()).padStart(3, '0')}${String(rest).padStart(3, '0')}`.replace(/0+$/, '')
  return `${date.toISOString().slice(0, -5)}${fraction === '' ? '' : `.${fraction}`}Z`
}

export const shownMillis = (ms: number): string => shownMicros(BigInt(Math.trunc(ms)) * 1000n)
