/**
 * Rules of docs/reference/protocol-rules.md taken out one by one. Each mutant is the code without one rule; the simulation must notice.
 * Production code has no switches: `mutant-hook.ts` edits the module's source as it is loaded, in a process of its own.
 */
export interface Edit {
  /** From the root of the repository. */
  readonly file: string
  /** Occurs exactly once in the file. */
  readonly find: string
  readonly replace: string
}

export interface Mutant {
  readonly name: string
  /** The number in docs/reference/protocol-rules.md. */
  readonly rule: string
  readonly without: string
  readonly edits: readonly Edit[]
  /** Looked for by the simulation of maintenance. */
  readonly maintenance?: true
  /** Seeds that are known to fail. `run-mutants.ts --hunt` finds new ones when the code has moved on. */
  readonly seeds: readonly number[]
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'trusts-memory',
    rule: '1',
    without: 'each call reads the tail: what this function last tried to append is taken for the tail',
    edits: [
      {
        file: 'lib/runtime/ingest.ts',
        find: 'const tails = await Promise.all(wave.map((delivery) => log.tail(delivery.logKey)))',
        replace: `const memory = (runtime.decoders.memory ??= new Map())
  const tails = await Promise.all(wave.map(async (delivery) => memory.get(delivery.logKey) ?? (await log.tail(delivery.logKey))))`,
      },
      {
        file: 'lib/runtime/ingest.ts',
        find: 'const results = await Promise.allSettled(',
        replace: `prepared.forEach(({ delivery, stage }, i) => memory.set(delivery.logKey, { slot: stage.slot, value: values[i] }))
  const results = await Promise.allSettled(`,
      },
    ],
    seeds: [7, 8, 9],
  },
  {
    name: 'ignores-floor',
    rule: '2',
    without: 'an append counts only above the trim floor read after it',
    edits: [{ file: 'lib/protocol/staging.ts', find: 'return ours && floorAfter < slot ?', replace: 'return ours ?' }],
    seeds: [1616],
  },
  {
    name: 'trims-tail',
    rule: '3',
    without: 'the tail is never trimmed',
    edits: [
      {
        file: 'lib/protocol/trim.ts',
        find: 'return Math.max(0, Math.min(consumedSlot, tailSlot - 1))',
        replace: 'return consumedSlot',
      },
    ],
    seeds: [5, 6, 8],
  },
  {
    name: 'forgets-own-put',
    rule: '4',
    without: 'a put that timed out is recognised by what holds the slot',
    edits: [
      {
        file: 'lib/protocol/staging.ts',
        find: 'const ours = result.won || result.existing === value',
        replace: 'const ours = result.won',
      },
      {
        file: 'lib/runtime/commit.ts',
        find: ' || decodeCheckpointEntry(item.value).writer === entry.writer) return',
        replace: ') return',
      },
    ],
    seeds: [11],
  },
  {
    name: 'takes-timeout-for-success',
    rule: '4',
    without: 'a put that timed out may not have happened',
    edits: [
      {
        file: 'lib/runtime/put.ts',
        find: "if (!isKind(error, 'Unavailable') || attempt === MAX_PUT_ATTEMPTS) throw error",
        replace: "if (isKind(error, 'Unavailable')) return { won: true }\n      throw error",
      },
    ],
    seeds: [1, 2, 11],
  },
  {
    name: 'stages-again',
    rule: '5',
    without: 'records below next are dropped one by one, not only when all are',
    edits: [
      {
        file: 'lib/protocol/staging.ts',
        find: "if (start === count) return { verdict: 'AlreadyIn' }",
        replace: "if (start === count) return { verdict: 'AlreadyIn' }\n  start = 0",
      },
    ],
    seeds: [1, 6, 9],
  },
  {
    name: 'keeps-partials',
    rule: '5',
    without: 'after a lost race the watermark is computed again: lateness is judged from the one first read',
    edits: [
      {
        file: 'lib/runtime/ingest.ts',
        find: 'const before = tail.entry === undefined ? floors.get(delivery) : tail.entry.watermark',
        replace:
          'const before = (delivery.first ??= { watermark: tail.entry === undefined ? floors.get(delivery) : tail.entry.watermark }).watermark',
      },
    ],
    seeds: [310],
  },
  {
    name: 'trusts-any-topic',
    rule: '8',
    without: 'a topic created again is noticed',
    edits: [
      { file: 'lib/protocol/staging.ts', find: 'if (Number.isNaN(timestamp)) return undefined', replace: 'return undefined' },
    ],
    seeds: [31, 33, 43],
  },
  {
    name: 'hides-gaps',
    rule: '9',
    without: 'gaps are counted',
    edits: [
      {
        file: 'lib/protocol/staging.ts',
        find: 'const missing = offsets[count - 1] + 1 - from - (count - start)',
        replace: 'const missing = 0',
      },
    ],
    seeds: [7, 8, 17],
  },
  {
    name: 'retries-blindly',
    rule: '10',
    without: 'the marker is checked on the very base of each swap, not only on the first',
    edits: [
      {
        file: 'lib/runtime/apply.ts',
        find: "if (verdict === 'Done' || table === undefined) return true",
        replace: "if ((verdict === 'Done' && attempt === 0) || table === undefined) return true",
      },
    ],
    seeds: [8],
  },
  {
    name: 'takes-unknown-for-done',
    rule: '11',
    without: 'after an unknown swap the table is looked at',
    edits: [
      {
        file: 'lib/iceberg/change.ts',
        find: "if (isKind(error, 'CommitUnknown', 'Unavailable')) return { done: false, error }",
        replace: "if (isKind(error, 'CommitUnknown', 'Unavailable')) return { done: true }",
      },
    ],
    seeds: [1],
  },
  {
    name: 'touches-every-table',
    rule: '12',
    without: 'a checkpoint without work for a table does not touch it',
    edits: [
      {
        file: 'lib/runtime/build.ts',
        find: 'progress[name] = added.length > 0 ? { uuid, need: n, base: need } : { uuid, need, base }',
        replace: 'progress[name] = { uuid, need: n, base: need }',
      },
    ],
    seeds: [1, 2, 3],
  },
  {
    name: 'runs-ahead-of-tables',
    rule: '12',
    without: 'checkpoint n is applied everywhere before n + 1 is appended',
    edits: [
      {
        file: 'lib/runtime/apply.ts',
        find: 'if (!(await applyTables(runtime, found.due, last, found.tables, swaps))) return undefined',
        replace: '',
      },
    ],
    seeds: [1, 2, 3],
  },
  {
    name: 'commits-missing-files',
    rule: '13',
    without: 'before files are added to a table they are seen to exist',
    edits: [{ file: 'lib/runtime/apply.ts', find: 'await assertFilesExist(runtime, files)', replace: '' }],
    seeds: [139, 284, 289],
  },
  {
    name: 'loser-goes-on',
    rule: '14',
    without: 'the loser of a checkpoint race applies nothing',
    edits: [
      {
        file: 'lib/runtime/commit.ts',
        find: 'if (!(await appendCheckpoint(runtime, built.body.n, entry))) {',
        replace: 'if ((await appendCheckpoint(runtime, built.body.n, entry)) === undefined) {',
      },
    ],
    seeds: [5],
  },
  {
    name: 'deletes-on-suspicion',
    rule: '14',
    without: 'files are deleted only when it is certain that another checkpoint won',
    edits: [
      {
        file: 'lib/runtime/commit.ts',
        find: 'if (!(await appendCheckpoint(runtime, built.body.n, entry))) {',
        replace: 'if (!(await appendCheckpoint(runtime, built.body.n, entry).catch(() => false))) {',
      },
      {
        file: 'lib/runtime/commit.ts',
        find: 'if (item?.slot !== n || floor >= n || decodeCheckpointEntry(item.value).writer === entry.writer) return',
        replace: '',
      },
    ],
    seeds: [109],
  },
  {
    name: 'ignores-uuid',
    rule: '15',
    without: 'checkpoints pin the table uuid',
    edits: [
      {
        file: 'lib/protocol/marker.ts',
        find: 'if (expected.uuid !== undefined && table.uuid !== expected.uuid)',
        replace: 'if (false)',
      },
    ],
    seeds: [77, 308, 648],
  },
  {
    name: 'ignores-incarnation',
    rule: '15',
    without: 'the marker carries the incarnation',
    edits: [
      {
        file: 'lib/protocol/marker.ts',
        find: 'if (table.marker.incarnation !== expected.incarnation)',
        replace: 'if (false)',
      },
      { file: 'lib/protocol/marker.ts', find: 'if (snapshot.marker.incarnation === marker.incarnation && ', replace: 'if (' },
    ],
    seeds: [44, 83, 86],
  },
  {
    name: 'adopts-unmarked-tables',
    rule: '15',
    without: 'a table that lost its marker is refused',
    edits: [
      {
        file: 'lib/protocol/marker.ts',
        find: 'if (table.marker === undefined)',
        replace: "if (table.marker === undefined) return { verdict: 'Apply' }\n  if (table.marker === undefined)",
      },
    ],
    seeds: [216, 311, 495],
  },
  {
    name: 'ignores-rollback',
    rule: '15',
    without: 'a rolled-back table is refused',
    edits: [
      {
        file: 'lib/protocol/marker.ts',
        find: 'if (why !== undefined) return { verdict: ',
        replace: 'if (false) return { verdict: ',
      },
    ],
    seeds: [467, 645, 767],
  },
  {
    name: 'takes-missing-for-empty',
    rule: '20',
    without: 'a missing segment halts the commit',
    edits: [
      {
        file: 'lib/runtime/build.ts',
        find: '.filter((entry) => entry.slices.length > 0)',
        replace: `.filter((entry) => entry.slices.length > 0)
  const there = await Promise.all(entries.map(async (entry) => entry.segment === null || (await runtime.ports.objects.size(runtime.staging + entry.segment)) !== undefined))
  for (let i = entries.length - 1; i >= 0; i--) if (!there[i]) entries.splice(i, 1)`,
      },
    ],
    seeds: [178],
  },
  {
    name: 'halts-when-stale',
    rule: '20',
    without: 'a missing object makes the committer look whether it is stale',
    edits: [{ file: 'lib/runtime/commit.ts', find: 'if (now?.n === last.n) throw error', replace: 'throw error' }],
    seeds: [18, 22, 25],
  },
  {
    name: 'believes-zombies',
    rule: '2',
    without: 'a staging log that does not go on where the checkpoint ends makes the committer look whether it is stale',
    edits: [
      {
        file: 'lib/runtime/commit.ts',
        find: 'await unlessStale(runtime, last, () => readStaging(runtime, last))',
        replace: 'await readStaging(runtime, last)',
      },
    ],
    seeds: [6250],
  },
  {
    name: 'refuses-when-stale',
    rule: '15',
    without: 'a table that others brought further than the checkpoint at hand is not foreign',
    edits: [{ file: 'lib/runtime/apply.ts', find: 'if (now !== undefined && now.n > last.n) return undefined', replace: '' }],
    seeds: [8, 12, 16],
  },
  {
    name: 'judges-by-batch',
    rule: '21',
    without: 'lateness is judged record by record',
    edits: [{ file: 'lib/stream/watermark.ts', find: 'out[i] = watermark', replace: 'out[i] = before' }],
    seeds: [2, 3, 4],
  },
  {
    name: 'skips-silent-partitions',
    rule: '22',
    without: 'a partition without entries counts as minus infinity',
    edits: [
      {
        file: 'lib/protocol/checkpoint.ts',
        find: 'least = Math.min(least, partition.watermark ?? Number.NEGATIVE_INFINITY)',
        replace: 'least = Math.min(least, partition.watermark ?? Number.POSITIVE_INFINITY)',
      },
    ],
    seeds: [1, 5, 9],
  },
  {
    name: 'stages-before-open',
    rule: '23',
    without: 'a partition joins before a record of it is judged',
    edits: [
      {
        file: 'lib/runtime/ingest.ts',
        find: 'if (partition === undefined) wanted[source.id].push(records.partition)',
        replace:
          'if (last !== undefined && partition === undefined) floors.set(delivery, null)\n      else if (partition === undefined) wanted[source.id].push(records.partition)',
      },
    ],
    seeds: [34, 38, 91],
  },
  {
    name: 'joins-without-floor',
    rule: '23',
    without: 'a partition that joins starts from the closed watermark',
    edits: [{ file: 'lib/protocol/checkpoint.ts', find: 'const floor = last?.watermark ?? null', replace: 'const floor = null' }],
    seeds: [34, 38, 57],
  },
  {
    name: 'open-forgets',
    rule: '23',
    without: 'an open entry carries the last checkpoint forward',
    edits: [
      { file: 'lib/protocol/checkpoint.ts', find: 'body: last?.entry.body ?? null, opened }', replace: 'body: null, opened }' },
    ],
    seeds: [34, 38, 57],
  },
  {
    name: 'advances-unopened',
    rule: '23',
    without: 'a partition joins before it is advanced',
    edits: [{ file: 'lib/runtime/advance.ts', find: 'if (tail.entry === undefined) {', replace: 'if (false) {' }],
    seeds: [63],
  },
  {
    name: 'advances-without-proof',
    rule: '24',
    without: 'the broker proves that nothing is unread',
    edits: [
      {
        file: 'lib/runtime/advance.ts',
        find: "if (!(await broker.nothingUnread(source.topic, partition, verdict.from))) return 'Unproven'",
        replace: '',
      },
    ],
    seeds: [31],
  },
  {
    name: 'accepts-wrong-clocks',
    rule: '26',
    without: 'an event time beyond maxAhead is a dead letter',
    edits: [
      {
        file: 'lib/runtime/process.ts',
        find: 'if (times[i] > records.timestamps[indexes[i]] + maxAheadMs) (ahead ??= []).push(i)',
        replace: ';',
      },
    ],
    seeds: [1, 13, 29],
  },
  {
    name: 'first-by-arrival',
    rule: 'E4',
    without: 'first and last are ordered by event time, partition, offset',
    edits: [
      {
        file: 'lib/stream/extremes.ts',
        find: 'let order = row < 0 ? (last ? 1 : -1) : time - times[g]',
        replace: 'let order = row < 0 ? (last ? 1 : -1) : 1',
      },
    ],
    seeds: [2, 4, 5],
  },
  {
    name: 'ties-by-offset',
    rule: 'E4',
    without: 'of equal event times the lower partition comes first',
    edits: [{ file: 'lib/stream/extremes.ts', find: 'if (order === 0) order = partition[i] - partition[row]', replace: '' }],
    seeds: [3, 12, 87],
  },
  {
    name: 'sums-by-arrival',
    rule: 'E4',
    without: 'sums of doubles are exact',
    edits: [{ file: 'lib/stream/exact-sum.ts', find: 'if (low !== 0) {', replace: 'if (false) {' }],
    seeds: [15, 41, 48],
  },
  {
    name: 'reads-once',
    rule: '20',
    without: 'a table whose files are gone is loaded again: others may have changed it and let go of them',
    maintenance: true,
    edits: [
      {
        file: 'lib/iceberg/change.ts',
        find: "if (!isKind(error, 'Corrupt') || (await catalog.load(id))?.version === pointer.version) throw error",
        replace: "if (!isKind(error, 'Corrupt') || pointer.version !== undefined) throw error",
      },
    ],
    seeds: [99, 436, 454],
  },
  {
    name: 'commits-on-what-expired',
    rule: '20',
    without: 'a commit whose base has expired meanwhile is made again on the table as it is',
    maintenance: true,
    edits: [
      {
        file: 'lib/runtime/apply.ts',
        find: 'await unlessMoved(runtime.ports.catalog, table, async () => {',
        replace: 'await unlessMoved({ ...runtime.ports.catalog, load: async () => table.pointer }, table, async () => {',
      },
    ],
    seeds: [99],
  },
  {
    name: 'forgets-marked-snapshots',
    rule: '15',
    without: 'the newest snapshot with a marker never expires',
    maintenance: true,
    edits: [
      {
        file: 'lib/maintenance/expire.ts',
        find: '.filter(({ summary }) => summary[markerProperty(pipeline)] === properties[markerProperty(pipeline)])',
        replace: '.filter(() => false)',
      },
    ],
    seeds: [1, 3, 4],
  },
  {
    name: 'rewrites-what-is-gone',
    rule: '18',
    without: 'the inputs of a rewrite are still there',
    maintenance: true,
    edits: [
      {
        file: 'lib/maintenance/commit-rewrites.ts',
        find: "if (!group.files.every(({ file }) => live.has(file.filePath))) return 'its files were replaced or deleted'",
        replace: '',
      },
      {
        file: 'lib/maintenance/commit-rewrites.ts',
        find: 'remove: new Set(due.flatMap(({ group }) => group.files.map(({ file }) => file.filePath))),',
        replace:
          'remove: new Set(due.flatMap(({ group }) => group.files.map(({ file }) => file.filePath).filter((path) => live.has(path)))),',
      },
      { file: 'lib/iceberg/replace.ts', find: "if (operation === 'replace' && before !== after)", replace: 'if (false)' },
    ],
    seeds: [11, 13, 23],
  },
  {
    name: 'ignores-new-deletes',
    rule: '18',
    without: 'no delete that came since touches the inputs of a rewrite',
    maintenance: true,
    edits: [
      {
        file: 'lib/maintenance/commit-rewrites.ts',
        find: 'if (group.files.some((file) => deletes.some((one) => concerns(metadata, one, file))))',
        replace: 'if (false)',
      },
    ],
    seeds: [107, 336],
  },
  {
    name: 'prepares-on-a-stale-base',
    rule: '18',
    without: 'each attempt is made from the very table that it replaces',
    maintenance: true,
    edits: [
      {
        file: 'lib/iceberg/change.ts',
        find: 'const table = await loadTable(ports.catalog, ports.objects, id)',
        replace: `const fresh = await loadTable(ports.catalog, ports.objects, id)
    first ??= fresh
    const table = fresh && first && { ...fresh, metadata: first.metadata }`,
      },
      {
        file: 'lib/iceberg/change.ts',
        find: 'let unknown = false',
        replace: 'let unknown = false\n  let first: LoadedTable | undefined',
      },
    ],
    seeds: [22, 25, 26],
  },
  {
    name: 'deletes-own-outputs-on-suspicion',
    rule: '11',
    without: 'what a rewrite wrote is deleted only when it is certain that no table names it',
    maintenance: true,
    edits: [{ file: 'lib/maintenance/commit-rewrites.ts', find: 'certain = !unknown', replace: 'certain = unknown || true' }],
    seeds: [471, 557, 679],
  },
  {
    name: 'forgets-other-snapshots',
    rule: '30',
    without: "an expired file goes only when no snapshot that stays, a tag's among them, reaches it",
    maintenance: true,
    edits: [
      {
        file: 'lib/maintenance/expire.ts',
        find: 'reached: await reachableFiles(objects, metadata),',
        replace: `reached: await reachableFiles(
      objects,
      metadata,
      metadata.snapshots.filter((snapshot) => snapshot['snapshot-id'] === metadata['current-snapshot-id']),
    ),`,
      },
      {
        file: 'lib/maintenance/expire.ts',
        find: 'return [...(await reachableFiles(objects, metadata, snapshots))].filter((location) => !staying.has(location))',
        replace: 'return [...(await reachableFiles(objects, metadata, snapshots))].filter(() => staying.size >= 0)',
      },
    ],
    seeds: [3, 4, 5],
  },
  {
    name: 'deletes-by-the-list',
    rule: '30',
    without: 'a doomed list is a hint: nothing goes before the swap is certain, or without looking',
    maintenance: true,
    edits: [
      {
        file: 'lib/maintenance/expire.ts',
        find: "await writeLists(objects, random, metadata, 'doomed', clock.now(), files)",
        replace: `await writeLists(objects, random, metadata, 'doomed', clock.now(), files)
    for (const { location } of files) await deleteIfPossible(objects, location)`,
      },
    ],
    seeds: [3, 4, 5],
  },
  {
    name: 'ignores-fence',
    rule: '29',
    without: 'a rewrite gives up when the fence was raised since it began',
    maintenance: true,
    edits: [
      {
        file: 'lib/maintenance/commit-rewrites.ts',
        find: 'if (fenceOf(metadata) !== fence) return',
        replace: 'if (false) return',
      },
    ],
    seeds: [70, 305, 381],
  },
  {
    name: 'sweeps-without-fence',
    rule: '29',
    without: 'a sweep raises the fence before it looks for the last time and deletes',
    maintenance: true,
    edits: [
      {
        file: 'lib/maintenance/orphans.ts',
        find: 'await objects.put(location, [serializeMetadata(metadata)])',
        replace: '',
      },
      {
        file: 'lib/maintenance/orphans.ts',
        find: "return { verdict: 'Swap', to: { location, metadata }, result: undefined }",
        replace: "return { verdict: 'Done', to: { location, metadata }, result: undefined }",
      },
      {
        file: 'lib/maintenance/orphans.ts',
        find: '(fenced) => looked(ports, fenced, options, fenceOf(fenced.metadata)))',
        replace: '(fenced) => looked(ports, fenced, options, fenceOf(fenced.metadata) + 1))',
      },
    ],
    seeds: [38],
  },
  {
    name: 'sweeps-by-age',
    rule: '13',
    without: 'data files of the commit lane are swept by the logs, not by age alone',
    maintenance: true,
    edits: [
      {
        file: 'lib/maintenance/orphans.ts',
        find: 'if (ofCommit !== undefined) return',
        replace: 'if (ofCommit !== undefined) return true\n      if (ofCommit !== undefined) return',
      },
    ],
    seeds: [7, 16, 25],
  },
  {
    name: 'forgets-metadata-log',
    rule: '30',
    without: 'earlier metadata that the log names is no orphan',
    maintenance: true,
    edits: [
      {
        file: 'lib/maintenance/orphans.ts',
        find: 'for (const location of reachableMetadata(metadata, pointer.metadataLocation)) needed.add(location)',
        replace: 'needed.add(pointer.metadataLocation)',
      },
    ],
    seeds: [1, 2, 3],
  },
]
