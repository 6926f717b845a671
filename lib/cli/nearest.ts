/** The name that was meant, when one differs from what was written by a slip: a third of its letters at most. */
export function nearest(written: string, names: readonly string[]): string | undefined {
  const distances = names.map((name) => editDistance(written.toLowerCase(), name.toLowerCase()))
  const least = Math.min(...distances)
  return least <= Math.max(1, Math.floor(written.length / 3)) ? names[distances.indexOf(least)] : undefined
}

/** Letters to insert, leave out or change to make `b` of `a` (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)))
    row = next
  }
  return row[b.length]
}
