import { EXIT } from './output.ts'

/** npm sends on a Ctrl-C that the terminal has sent already: signals this close together are one. */
const SAME_SIGNAL_MS = 1000

export interface Interruption {
  asked(): boolean
  /** Signals end the process again. */
  end(): void
}

/**
 * Until `end` the first SIGINT or SIGTERM only calls `onFirst`: what is under way is to stop by itself. Another one ends the
 * process.
 */
export function interruption(onFirst: () => void): Interruption {
  let askedAtMs: number | undefined
  const onSignal = () => {
    if (askedAtMs === undefined) {
      askedAtMs = performance.now()
      onFirst()
    } else if (performance.now() - askedAtMs >= SAME_SIGNAL_MS) process.exit(EXIT.interrupted)
  }
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal)
  return {
    asked: () => askedAtMs !== undefined,
    end: () => void process.off('SIGINT', onSignal).off('SIGTERM', onSignal),
  }
}
