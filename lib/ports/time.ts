/** Time and chance come only through these two, so that a simulation can own them. */
export interface Clock {
  /** Milliseconds since the epoch. Never decides what a result is, only when work is done. */
  now(): number
  sleep(ms: number): Promise<void>
}

export interface Random {
  /** A version 4 UUID, lower case. Names things; never decides what a result is. */
  uuid(): string
}
