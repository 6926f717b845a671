import { vi } from 'vitest'
import type { Telemetry } from '../../functions/telemetry.ts'

/** For handlers whose words nobody reads. */
export const silent: Telemetry = { begin() {}, info() {}, error() {}, publish() {} }

/** A line in CloudWatch's embedded metric format. */
export interface MetricLine {
  readonly _aws: {
    readonly Timestamp: number
    readonly CloudWatchMetrics: readonly {
      readonly Namespace: string
      readonly Dimensions: readonly (readonly string[])[]
      readonly Metrics: readonly { readonly Name: string; readonly Unit: string }[]
    }[]
  }
  readonly [name: string]: unknown
}

export interface Output {
  readonly lines: readonly Readonly<Record<string, unknown>>[]
  readonly metrics: readonly MetricLine[]
}

export interface Captured {
  /** What was printed since the last look. */
  take(): Output & { readonly text: string }
  end(): void
}

/** What a function printed, told apart; fails for what is not JSON. */
export function outputOf(lines: readonly string[]): Output {
  const all = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  return {
    lines: all.filter((line) => !('_aws' in line)),
    metrics: all.filter((line) => '_aws' in line) as unknown as MetricLine[],
  }
}

/** Keeps what this process writes to stdout and stderr from there. */
export function capture(): Captured {
  let text = ''
  const keep = (chunk: unknown): boolean => {
    text += String(chunk)
    return true
  }
  const spies = [vi.spyOn(process.stdout, 'write'), vi.spyOn(process.stderr, 'write')]
  for (const spy of spies) spy.mockImplementation(keep)
  return {
    take() {
      const taken = text
      text = ''
      return { text: taken, ...outputOf(taken.split('\n').filter((line) => line !== '')) }
    },
    end: () => {
      for (const spy of spies) spy.mockRestore()
    },
  }
}
