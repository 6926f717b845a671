import { partitionedBy } from './second.ts'

/** What a table that exists cannot become: its files would lie in other partitions. */
// biome-ignore lint/style/noDefaultExport: what a pipeline file is
export default partitionedBy('month(event_time)')
