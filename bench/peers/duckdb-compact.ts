import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'

// What DuckDB takes to read, sort and write the files of the table bench.trades of a warehouse: duckdb-compact.ts WAREHOUSE. It
// commits nothing, for it has no way to; the file could be added to the table, for its columns have Iceberg's field ids.
const dir = join(process.argv[2] ?? '', 'bench/trades/data')
const out = join(dir, 'duckdb.parquet')
const input = readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.parquet'))
const bytesBefore = input.reduce((sum, name) => sum + statSync(join(dir, name)).size, 0)

const instance = await DuckDBInstance.create(':memory:', { threads: '2' })
const connection = await instance.connect()
const ids = 'symbol: 1, ts: 2, price: 3, qty: 4, side: 5, event_time: 6, kafka_partition: 7, kafka_offset: 8'
await connection.run(`
  COPY (SELECT * FROM read_parquet('${dir}/*/*.parquet', hive_partitioning = false) ORDER BY symbol, ts)
  TO '${out}' (FORMAT parquet, COMPRESSION zstd, FIELD_IDS {${ids}})`)
connection.closeSync()
instance.closeSync()
const { user, system } = process.cpuUsage()
console.log(
  JSON.stringify({
    cpu_seconds: (user + system) / 1e6,
    peak_rss_mb: process.resourceUsage().maxRSS / 1024,
    filesBefore: input.length,
    filesAfter: 1,
    bytesBefore,
    bytesAfter: statSync(out).size,
  }),
)
