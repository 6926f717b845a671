import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'

/** A broker of its own with TLS: the shared one speaks plain text. */
const run = promisify(execFile)
const repo = join(import.meta.dirname, '../..')
const dir = mkdtempSync(join(tmpdir(), 'frazil-kafka-tls-'))
const broker = join(repo, 'test/services/kafka.sh')
let ports: readonly number[]
let env: NodeJS.ProcessEnv

/** Neighbours, as the script takes the one after each. */
async function freePorts(): Promise<readonly number[]> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0
  await new Promise((resolve) => server.close(resolve))
  return [port, port + 1, port + 2, port + 3]
}

beforeAll(async () => {
  ports = await freePorts()
  env = {
    ...process.env,
    FRAZIL_KAFKA_DIR: join(dir, 'kafka'),
    FRAZIL_KAFKA_PORT: `${ports[0]}`,
    FRAZIL_KAFKA_CONTROLLER_PORT: `${ports[1]}`,
    FRAZIL_KAFKA_SECURE_PORT: `${ports[2]}`,
  }
  await run('bash', [broker, 'start'], { env })
  await run('bash', [broker, 'create-topic', 'trades', '2'], { env })
  const file = join(dir, 'trades.ndjson')
  await run(process.execPath, [join(repo, 'bench/trades.ts'), '--count', '2000', '--out', file])
  const produce = join(repo, 'test/services/produce.ts')
  await run(process.execPath, [produce, '--brokers', `127.0.0.1:${ports[0]}`, '--topic', 'trades', '--file', file])
}, 120_000)
afterAll(async () => {
  await run('bash', [broker, 'stop'], { env })
  rmSync(dir, { recursive: true, force: true })
})

const CA = 'ssl.ca.location=kafka/tls/ca.pem'
const login = (mechanism: string) =>
  `security.protocol=SASL_SSL\n${CA}\nsasl.mechanism=${mechanism}\nsasl.username=frazil\nsasl.password=test-password`
const CERTIFICATE = `security.protocol=SSL
${CA}
ssl.certificate.location=kafka/tls/client.pem
ssl.key.location=kafka/tls/client.key
ssl.key.password=test-key`

let made = 0
async function frazil(listener: 'login' | 'mutual', properties: string): Promise<{ records: number }> {
  const config = join(dir, `${++made}.properties`)
  writeFileSync(config, properties)
  const brokers = `127.0.0.1:${listener === 'login' ? ports[2] : ports[3]}`
  const args = [
    '--brokers',
    brokers,
    '--kafka-config',
    config,
    '--warehouse',
    join(dir, `warehouse-${made}`),
    '--until-end',
    '--json',
  ]
  const main = join(repo, 'lib/cli/main.ts')
  const { stdout } = await run(process.execPath, [main, 'run', join(repo, 'pipelines/trades.ts'), ...args])
  return JSON.parse(stdout)
}

test.each(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'])('a run reads a topic over TLS with a login by %s', async (mechanism) => {
  expect(await frazil('login', login(mechanism))).toMatchObject({ records: 2000 })
})

test("a run reads a topic with a client's certificate", async () => {
  expect(await frazil('mutual', CERTIFICATE)).toMatchObject({ records: 2000 })
})

test.each([
  ['a wrong password', 'login', login('SCRAM-SHA-512').replace('test-password', 'wrong-password')],
  ['an authority that did not sign', 'login', login('PLAIN').replace(`${CA}\n`, '')],
  ['no certificate where one is asked for', 'mutual', `security.protocol=SSL\n${CA}`],
] as const)('%s ends with 2 and names the options, not the password', async (_, listener, properties) => {
  const failed = await frazil(listener, properties).catch((error: { code: number; stderr: string }) => error)
  expect(failed).toMatchObject({ code: 2, stderr: expect.stringMatching(/Cannot connect.*--kafka-config/) })
  expect(failed).toMatchObject({ stderr: expect.not.stringContaining('password=') })
})
