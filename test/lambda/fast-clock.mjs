// Preloaded into a function that is to wait less (`NODE_OPTIONS=--import=…`). Its patience with an answer, 10 and 20 s, is a fifth of
// that, which no emulator needs; its pauses before it repeats a call are a tenth. The second for a connection stays.
import { syncBuiltinESMExports } from 'node:module'
import timers from 'node:timers/promises'

const CONNECT_MS = 1000
const ANSWER_MS = 10_000

function shorter(ms) {
  if (ms === CONNECT_MS) return ms
  return ms >= ANSWER_MS ? ms / 5 : ms / 10
}

const { setTimeout: schedule } = globalThis
globalThis.setTimeout = Object.assign((run, ms, ...args) => schedule(run, shorter(ms), ...args), schedule)
const { setTimeout: sleep } = timers
timers.setTimeout = (ms, ...args) => sleep(shorter(ms), ...args)
syncBuiltinESMExports()
