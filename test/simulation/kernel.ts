/**
 * A deterministic scheduler. Actors are async functions; every port call of theirs stops at a gate, and the kernel picks,
 * by the seed, which gate opens next. So any interleaving can happen, and one integer replays it.
 */

/** Pseudo-random numbers: sfc32, seeded through splitmix32 (Doty-Humphrey, PractRand). */
export interface Rng {
  /** In [0, 1). */
  next(): number
  /** In [0, n). */
  int(n: number): number
  /** In [from, to], whole. */
  between(from: number, to: number): number
  chance(probability: number): boolean
  pick<T>(list: readonly T[]): T
}

export function createRng(seed: number, stream = 0): Rng {
  let h = (seed ^ Math.imul(stream + 1, 0x9e3779b9)) | 0
  const mix = () => {
    h = (h + 0x9e3779b9) | 0
    let t = h ^ (h >>> 16)
    t = Math.imul(t, 0x21f0aaad)
    t ^= t >>> 15
    t = Math.imul(t, 0x735a2d97)
    return (t ^ (t >>> 15)) | 0
  }
  let a = mix()
  let b = mix()
  let c = mix()
  let d = 1
  const next = () => {
    const t = (((a + b) | 0) + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + t
    c |= 0
    return (t >>> 0) / 4294967296
  }
  for (let i = 0; i < 12; i++) next()
  return {
    next,
    int: (n) => Math.floor(next() * n),
    between: (from, to) => from + Math.floor(next() * (to - from + 1)),
    chance: (probability) => next() < probability,
    pick: (list) => list[Math.floor(next() * list.length)],
  }
}

export type Outcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'crashed' }
  | { readonly kind: 'timeout' }

export interface Actor {
  readonly name: string
  state: 'running' | 'crashed' | 'over'
  /** Virtual time before which none of its gates opens: a frozen process. */
  frozenUntil: number
  priority: number
  readonly outcome: Promise<Outcome>
  settle(outcome: Outcome): void
}

/** Probabilities per port call. */
export interface FaultRates {
  readonly crash: number
  readonly before: number
  readonly after: number
  readonly late: number
  readonly freeze: number
  /** Freezes right before an append to a staging log: the zombies of protocol rule 2. */
  readonly freezeAppend: number
  /** How long a freeze is at most, ms. */
  readonly freezeMs: number
}

export type Fault = 'none' | 'crashBefore' | 'crashAfter' | 'failBefore' | 'failAfter' | 'late' | 'freeze'

interface Parked {
  readonly actor: Actor | undefined
  readonly label: string
  readonly wakeAt: number
  readonly open: () => void
}

export interface KernelOptions {
  readonly rng: Rng
  readonly startMs: number
  /** Chance to go on with the actor that ran last, in [0, 1). */
  readonly stickiness: number
  /** Pick by actor priorities that change now and then (Burckhardt et al., PCT, ASPLOS 2010) instead of uniformly. */
  readonly priorities: boolean
}

/** Something the simulation itself finds wrong; `check` names the property. */
export class Violation extends Error {
  readonly check: string
  constructor(check: string, message: string, options?: ErrorOptions) {
    super(`${check}: ${message}`, options)
    this.check = check
  }
}

export type Kernel = ReturnType<typeof createKernel>

const TRACE_TAIL = 400
const immediate = () => new Promise<void>((resolve) => setImmediate(resolve))

export function createKernel(options: KernelOptions) {
  const { rng } = options
  const parked: Parked[] = []
  const actors: Actor[] = []
  const trace: string[] = []
  let traceHash = 0x811c9dc5
  let now = options.startMs
  let steps = 0
  let last: Actor | undefined
  let faults: FaultRates | undefined
  let faultCount = 0
  let violation: Violation | undefined

  const note = (line: string) => {
    for (let i = 0; i < line.length; i++) traceHash = Math.imul(traceHash ^ line.charCodeAt(i), 0x01000193)
    if (trace.length >= 2 * TRACE_TAIL) trace.splice(0, TRACE_TAIL)
    trace.push(`${steps} @${now - options.startMs} ${line}`)
  }
  const park = (entry: Parked) => parked.push(entry)
  const gate = (actor: Actor, label: string, wakeAt = 0) =>
    new Promise<void>((resolve) => {
      if (actor.state !== 'crashed') park({ actor, label, wakeAt, open: resolve })
    })
  const finish = (actor: Actor, state: 'crashed' | 'over', outcome: Outcome) => {
    if (actor.state !== 'running') return
    actor.state = state
    const at = actors.indexOf(actor)
    if (at >= 0) actors.splice(at, 1)
    actor.settle(outcome)
  }
  const crash = (actor: Actor) => {
    note(`${actor.name} CRASH`)
    for (let i = parked.length - 1; i >= 0; i--) if (parked[i].actor === actor) parked.splice(i, 1)
    finish(actor, 'crashed', { kind: 'crashed' })
  }
  const eligible = (entry: Parked) => entry.wakeAt <= now && (entry.actor === undefined || entry.actor.frozenUntil <= now)
  const readyAt = (entry: Parked) => Math.max(entry.wakeAt, entry.actor?.frozenUntil ?? 0)

  const choose = (): number => {
    const ready: number[] = []
    for (let i = 0; i < parked.length; i++) if (eligible(parked[i])) ready.push(i)
    if (ready.length === 0) return -1
    if (ready.length === 1) return ready[0]
    if (last !== undefined && options.stickiness > 0 && rng.chance(options.stickiness)) {
      const same = ready.find((i) => parked[i].actor === last)
      if (same !== undefined) return same
    }
    if (!options.priorities || rng.chance(0.1)) return rng.pick(ready)
    if (rng.chance(0.05)) for (const actor of actors) actor.priority = rng.next()
    return ready.reduce((best, i) => ((parked[i].actor?.priority ?? 0.5) > (parked[best].actor?.priority ?? 0.5) ? i : best))
  }

  return {
    rng,
    trace,
    note,
    gate,
    crash,
    now: () => now,
    steps: () => steps,
    faultCount: () => faultCount,
    hash: () => (traceHash >>> 0).toString(16).padStart(8, '0'),
    setFaults(rates: FaultRates | undefined) {
      faults = rates
    },
    thaw() {
      for (const actor of actors) actor.frozenUntil = 0
    },
    running: () => actors.map((actor) => actor.name),
    /** Notes what a check in the middle of a run found; the run stops at the next step. */
    violate(found: Violation) {
      violation ??= found
    },

    spawn(name: string, body: (actor: Actor) => Promise<void>): Actor {
      let settle: (outcome: Outcome) => void = () => {}
      const outcome = new Promise<Outcome>((resolve) => {
        settle = resolve
      })
      const actor: Actor = { name, state: 'running', frozenUntil: 0, priority: rng.next(), outcome, settle }
      actors.push(actor)
      void (async () => {
        await gate(actor, 'start')
        try {
          await body(actor)
        } catch (error) {
          if (error instanceof Violation) violation ??= error
          finish(actor, 'over', { kind: 'failed', error })
          return
        }
        finish(actor, 'over', { kind: 'done' })
      })()
      return actor
    },

    sleep(actor: Actor, ms: number): Promise<void> {
      return gate(actor, 'sleep', now + Math.max(0, ms))
    },

    /** Waits for another actor, at most `ms`: the caller gives up, the other goes on as a zombie. */
    async wait(actor: Actor, other: Actor, ms: number): Promise<Outcome> {
      const timeout = Promise.withResolvers<Outcome>()
      const entry: Parked = { actor, label: 'timeout', wakeAt: now + ms, open: () => timeout.resolve({ kind: 'timeout' }) }
      park(entry)
      const outcome = await Promise.race([other.outcome, timeout.promise])
      const at = parked.indexOf(entry)
      if (at >= 0) parked.splice(at, 1)
      return outcome
    },

    /** Something that happens later without anyone waiting for it: a write whose caller saw a timeout. */
    defer(label: string, delayMs: number, action: () => Promise<unknown>) {
      park({
        actor: undefined,
        label,
        wakeAt: now + delayMs,
        open: () => void action().catch((error) => note(`${label} failed late: ${String(error)}`)),
      })
    },

    /** What befalls the port call that an actor is about to make. */
    drawFault(actor: Actor, write: boolean, append: boolean): Fault {
      if (faults === undefined) return 'none'
      let dice = rng.next()
      const hit = (rate: number) => (dice -= rate) < 0
      let fault: Fault = 'none'
      if (hit(faults.crash)) fault = rng.chance(0.5) ? 'crashBefore' : 'crashAfter'
      else if (hit(faults.freeze + (append ? faults.freezeAppend : 0))) {
        actor.frozenUntil = now + rng.between(5, faults.freezeMs)
        fault = 'freeze'
      } else if (hit(faults.before)) fault = 'failBefore'
      else if (write && hit(faults.after)) fault = 'failAfter'
      else if (write && hit(faults.late)) fault = 'late'
      if (fault !== 'none') faultCount++
      return fault
    },

    /** Opens gates one at a time until `done`, until nothing is left to do, or for `maxSteps`. */
    async run(done: () => boolean, maxSteps: number): Promise<'done' | 'idle' | 'exhausted'> {
      for (let i = 0; i < maxSteps; i++) {
        if (violation !== undefined) throw violation
        if (done()) return 'done'
        let at = choose()
        if (at < 0) {
          if (parked.length === 0) return 'idle'
          now = parked.reduce((least, entry) => Math.min(least, readyAt(entry)), Number.POSITIVE_INFINITY)
          at = choose()
        }
        steps++
        now++
        const entry = parked[at]
        parked.splice(at, 1)
        last = entry.actor
        note(`${entry.actor?.name ?? 'network'} ${entry.label}`)
        entry.open()
        await immediate()
      }
      if (violation !== undefined) throw violation
      return done() ? 'done' : 'exhausted'
    },
  }
}
