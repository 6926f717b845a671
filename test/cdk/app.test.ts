import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, describe, expect, test } from 'vitest'
import { CLUSTER } from './support.ts'

const repo = join(import.meta.dirname, '../..')
const outDir = mkdtempSync(join(tmpdir(), 'frazil-synth-'))
afterAll(() => rmSync(outDir, { recursive: true, force: true }))

/** Nothing that names an account or a region. */
const env = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(AWS|CDK)_/.test(name))),
  HOME: outDir,
  AWS_EC2_METADATA_DISABLED: 'true',
}
const run = promisify(execFile)

function templateIn(out: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(out, 'frazil-trades.template.json'), 'utf8')) as Record<string, unknown>
}

/** What the command does with the app: a process with the context in a variable. */
async function synth(name: string, context: Readonly<Record<string, string>>): Promise<Record<string, unknown>> {
  const out = join(outDir, name)
  await run(process.execPath, ['cdk/app.ts'], {
    cwd: repo,
    env: { ...env, CDK_OUTDIR: out, CDK_CONTEXT_JSON: JSON.stringify(context) },
  })
  return templateIn(out)
}

describe('the app', () => {
  test('is synthesized by npx cdk synth, without account and arguments: the cluster is a parameter of the stack', async () => {
    const out = join(outDir, 'bare')
    await run('npx', ['cdk', 'synth', '--quiet', '--output', out], { cwd: repo, env })
    const { Parameters } = templateIn(out)
    expect(Object.keys(Parameters as object)).toEqual(['ClusterArn', 'BootstrapVersion'])
  })

  test('takes cluster, partitions and alarms that are left out', async () => {
    const template = await synth('msk', { clusterArn: CLUSTER, partitions: 'trades=12', withoutAlarms: 'lateShare' })
    expect(template.Parameters).not.toHaveProperty('ClusterArn')
    const text = JSON.stringify(template)
    expect(text).toContain(`"EventSourceArn":"${CLUSTER}"`)
    expect(text).toContain('"FRAZIL_PARTITIONS":"trades=12"')
    expect(text).not.toContain('late / records')
  })

  test('takes brokers and the secret to log in with', async () => {
    const secretArn = 'arn:aws:secretsmanager:eu-central-1:111122223333:secret:kafka-AbCdEf'
    const text = JSON.stringify(await synth('brokers', { brokers: 'one:9096,two:9096', secretArn, partitions: 'trades=1' }))
    expect(text).toContain('"KafkaBootstrapServers":["one:9096","two:9096"]')
    expect(text).toContain(`"SourceAccessConfigurations":[{"Type":"SASL_SCRAM_512_AUTH","URI":"${secretArn}"}]`)
  })

  test('says in a sentence what is missing or misspelt', async () => {
    await expect(synth('topic', { partitions: 'trade=4' })).rejects.toThrow(
      /Cannot deploy: expected partitions of trades, found trade\./,
    )
    await expect(synth('bare-partitions', { partitions: '12' })).rejects.toThrow(
      /expected -c partitions=TOPIC=N, found 12\. Write -c partitions=trades=12\./,
    )
    await expect(synth('wrong', { brokers: 'one:9096' })).rejects.toThrow(/Cannot read from brokers: expected -c secretArn=ARN/)
  })
})
