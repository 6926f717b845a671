/**
 * Windowed aggregates as partial state that merges in any order: fold rows, merge state, split what is closed, finish.
 * Same rows in, same results out, whatever the batching (rule E4).
 */
export { finish } from './finish.ts'
export { type Folded, fold, lateBatch } from './fold.ts'
export { resultFields, stateFields } from './layout.ts'
export { mergePartials, splitClosed, windowEnds } from './merge.ts'
