/** A whole number in JSON: a string of its digits where a double would round it (decision 0010). */
export const jsonInteger = (n: bigint): number | string => (Number.isSafeInteger(Number(n)) ? Number(n) : String(n))

/** JSON of plain data that may hold bigints, as one line. */
export const jsonLine = (data: unknown): string =>
  `${JSON.stringify(data, (_, value: unknown) => (typeof value === 'bigint' ? jsonInteger(value) : value))}\n`
