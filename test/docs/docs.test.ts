import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { blocksOf, fileOf, PAGES, pageText, READING_ORDER, REPO } from './blocks.ts'
import { checkout, follow, session } from './session.ts'

/** Commands that cannot run here: they install, need a broker, or are tests themselves. All others do run. */
const NOT_RUN = [
  'CONTRIBUTING.md: bash test/services/ministack.sh start        # S3, DynamoDB, Glue, Lambda on 127.0.0.1:14566, in memory',
  'CONTRIBUTING.md: npm ci              # everything, Node 24 among it',
  'README.md: frazil run my/trades.ts --brokers localhost:9092 --warehouse my/warehouse',
  'README.md: npm ci && npm run demo',
  'README.md: npm ci && npm test',
  'README.md: npm rebuild node --ignore-scripts=false',
  "docs/how-to/deploy.md: aws lambda list-event-source-mappings --function-name INGEST --query 'EventSourceMappings[].[State,LastProcessingResult]'",
  'docs/how-to/deploy.md: npx cdk deploy',
  'docs/how-to/deploy.md: npx cdk deploy -c brokers=broker-1.example.com:9096,broker-2.example.com:9096 -c secretArn=arn:aws:secretsmanager:… -c partitions=trades=12',
  'docs/how-to/deploy.md: npx cdk deploy -c clusterArn=arn:aws:kafka:eu-central-1:111122223333:cluster/trading/5d1f… -c partitions=trades=12',
  'docs/how-to/operate.md: frazil inspect trades.raw_trades --catalog glue --warehouse s3://BUCKET/ --log-table TABLE',
  'docs/how-to/operate.md: frazil plan trades.ts --catalog glue --warehouse s3://my-lake/house --log-table TABLE',
  'docs/how-to/operate.md: frazil query "SELECT reason, kafka_partition, count(*) AS n, min(kafka_offset) AS first, max(kafka_offset) AS last',
  'docs/how-to/read-from-kafka.md: chmod 600 my/client.properties',
  'docs/how-to/read-from-kafka.md: frazil run my/trades.ts --brokers broker-1:9092,broker-2:9092 --warehouse my/trades-from-kafka',
  'docs/how-to/read-from-kafka.md: frazil run my/trades.ts --brokers localhost:9092 --warehouse my/trades-from-kafka --until-end',
  'docs/how-to/run-against-aws.md: bash test/services/ministack.sh start',
  'docs/how-to/run-against-aws.md: export AWS_REGION=eu-central-1',
  'docs/how-to/run-the-stack-locally.md: export AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test',
  'docs/how-to/run-the-stack-locally.md: npm run stack',
]
/** Pages whose `sh smoke` blocks `npm run smoke` runs, since they install from the registry. */
const RUN_BY_SMOKE = ['docs/how-to/deploy.md', 'docs/how-to/use-in-your-own-project.md']
/** Pages whose `sh aws` blocks run against an emulator: `run-against-aws.services.test.ts`, by `npm run test:services`. */
const RUN_WITH_AWS = ['docs/how-to/run-against-aws.md']
const INFOS = ['', 'sh', 'sh not-run', 'sh smoke', 'sh aws', 'output', 'json', 'python', 'sql', 'mermaid']

describe('a reader who tries every page, in order, in one checkout', () => {
  const dir = checkout()
  const before = readdirSync(dir)
  const runnable = READING_ORDER.filter((page) => blocksOf(page).some(({ info }) => info === 'sh'))

  test('misses no page', () => {
    expect([...READING_ORDER].sort()).toEqual(
      PAGES.filter((page) => page !== 'CONTRIBUTING.md' && !/decisions/.test(page)).sort(),
    )
  })

  test.each(runnable)('gets from %s what it says', (page) => follow(dir, page, 'sh'))

  test('finds all that it wrote in my/, and what cdk made in its own', () => {
    expect(readdirSync(dir).filter((name) => !before.includes(name))).toEqual(['cdk.out', 'my'])
  })

  test('still passes the format and lint check', async () => {
    const [said] = await session(dir, ['npx --no-install biome check --reporter=summary 2>&1 || true'])
    expect(said).toMatch(/Checked \d+ files/)
    expect(said).not.toMatch(/\bmy\//)
  })

  test('has pipelines in my/ checked by the type checker, as an editor does: right ones pass, wrong ones do not', async () => {
    for (const page of PAGES)
      for (const { info, text: content, line } of blocksOf(page))
        if (/^ts\b/.test(info) && !fileOf(info)?.startsWith('my/')) writeFileSync(join(dir, `my/line-${line}.ts`), content)
    writeFileSync(join(dir, 'my/wrong.ts'), blockOf('README.md', 'my/trades.ts').replace("a.sum('qty')", "a.sum('symbol')"))
    const [said] = await session(dir, ['npx --no-install tsc --pretty false || true'])
    const ours = said.split('\n').filter((line) => line.startsWith('my/'))
    expect(ours.map((line) => /^[^(]+\(\d+/.exec(line)?.[0])).toEqual([`my/wrong.ts(${lineOf('a.sum(', 'my/trades.ts')}`])
  })
})

const blockOf = (page: string, file: string): string => blocksOf(page).find(({ info }) => fileOf(info) === file)?.text ?? ''
const lineOf = (part: string, file: string): number =>
  blockOf('README.md', file)
    .split('\n')
    .findIndex((line) => line.includes(part)) + 1

describe('documentation', () => {
  test('what does not run is listed, and every block is of a known kind', () => {
    const notRun = PAGES.flatMap((page) =>
      blocksOf(page)
        .filter(({ info }) => info === 'sh not-run')
        .map(({ text: content }) => `${page}: ${content.split('\n')[0]}`),
    )
    expect(notRun.sort()).toEqual(NOT_RUN)
    const smoke = PAGES.filter((page) => blocksOf(page).some(({ info }) => info === 'sh smoke'))
    expect(smoke).toEqual(RUN_BY_SMOKE)
    const aws = PAGES.filter((page) => blocksOf(page).some(({ info }) => info === 'sh aws'))
    expect(aws).toEqual(RUN_WITH_AWS)
    const unknown = PAGES.flatMap((page) => blocksOf(page).map(({ info }) => info)).filter(
      (info) => !INFOS.includes(info) && fileOf(info) === undefined,
    )
    expect(unknown).toEqual([])
  })

  test('links within the documentation lead to files that are there', () => {
    const broken: string[] = []
    for (const page of PAGES)
      for (const [, target] of pageText(page).matchAll(/\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)/g))
        if (!existsSync(join(REPO, dirname(page), target))) broken.push(`${page}: ${target}`)
    expect(broken).toEqual([])
  })

  test('every page of a folder is linked from the index, and files named in code exist', () => {
    const index = pageText('docs/README.md')
    const lost = PAGES.filter(
      (page) => /^docs\/(tutorial|how-to|reference|explanation)\//.test(page) && !index.includes(page.replace('docs/', '')),
    )
    expect(lost).toEqual([])
    const named = PAGES.flatMap((page) =>
      [...pageText(page).matchAll(/`((?:lib|test|docs|bench|pipelines)\/[\w./-]+)`/g)].map(([, path]) => path),
    )
    expect(
      named.filter((path) => !existsSync(join(REPO, path)) || (path.endsWith('/') && !statSync(join(REPO, path)).isDirectory())),
    ).toEqual([])
  })
})
