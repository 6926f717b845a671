import { App, CfnParameter, Stack, Validations } from 'aws-cdk-lib'
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager'
import { AwsSolutionsChecks } from 'cdk-nag'
import type { Construct } from 'constructs'
import { usage } from '../lib/errors.ts'
import type { Pipeline } from '../lib/pipeline/pipeline.ts'
import { planOf } from '../lib/pipeline/plan-of.ts'
import trades from '../pipelines/trades.ts'
import { type AlarmName, type KafkaSource, msk, StreamingPipeline, selfManaged } from './constructs/index.ts'

/**
 * A stack for each pipeline there is. `npx cdk synth` needs neither account nor arguments: what is not told by context is a
 * parameter of the stack.
 *
 *   -c clusterArn=ARN                          a cluster of MSK, login by IAM
 *   -c brokers=HOST:PORT,… -c secretArn=ARN    Kafka of one's own, login by SASL/SCRAM-512
 *   -c partitions=trades=12                    how many partitions topics have
 *   -c withoutAlarms=lateShare                 alarms that are not made: emulators may not take them all
 */
const PIPELINES: readonly Pipeline[] = [trades]

const app = new App()
for (const pipeline of PIPELINES) {
  const stack = new Stack(app, `frazil-${pipeline.name}`, { description: `Frazil pipeline ${pipeline.name}` })
  const withoutAlarms = listOf(app, 'withoutAlarms') as AlarmName[]
  const source = sourceOf(stack)
  new StreamingPipeline(stack, 'Pipeline', { pipeline, source, partitions: partitionsOf(pipeline), withoutAlarms })
}
Validations.of(app).addPlugins(new AwsSolutionsChecks(app))
app.synth()

function sourceOf(stack: Stack): KafkaSource {
  const [clusterArn, brokers, secretArn] = ['clusterArn', 'brokers', 'secretArn'].map((name) => contextOf(stack, name))
  if (brokers !== undefined) {
    if (secretArn === undefined)
      throw usage(
        'Cannot read from brokers: expected -c secretArn=ARN, a secret with user name and password, found none. Give it.',
      )
    const scram512 = secretsmanager.Secret.fromSecretCompleteArn(stack, 'KafkaLogin', secretArn)
    return selfManaged({ bootstrapServers: listOf(stack, 'brokers'), authentication: { scram512 } })
  }
  if (clusterArn !== undefined) return msk({ clusterArn })
  const parameter = new CfnParameter(stack, 'ClusterArn', {
    description: 'Cluster of Amazon MSK that has the topics',
    allowedPattern: 'arn:[^:]+:kafka:[^:]+:[0-9]{12}:cluster/[^/]+/[^/]+',
  })
  return msk({ clusterArn: parameter.valueAsString })
}

/** `trades=12,orders=4`: of all pipelines together, so each takes what it reads. */
function partitionsOf(pipeline: Pipeline): Record<string, number> {
  const parts = listOf(app, 'partitions')
  const bare = parts.find((part) => !part.includes('='))
  if (bare !== undefined)
    throw usage(
      `Cannot deploy: expected -c partitions=TOPIC=N, found ${bare}. Write -c partitions=${topicsOf(pipeline)[0]}=${/^\d+$/.test(bare) ? bare : 'N'}.`,
    )
  const counts = Object.fromEntries(parts.map((part) => part.split('=')))
  const known = PIPELINES.flatMap(topicsOf)
  const unknown = Object.keys(counts).find((topic) => !known.includes(topic))
  if (unknown !== undefined)
    throw usage(`Cannot deploy: expected partitions of ${known.join(', ')}, found ${unknown}. Set -c partitions right.`)
  const own = topicsOf(pipeline).filter((topic) => topic in counts)
  return Object.fromEntries(own.map((topic) => [topic, Number(counts[topic])]))
}

function topicsOf(pipeline: Pipeline): string[] {
  return Object.values(planOf(pipeline).sources).map(({ topic }) => topic)
}

function contextOf(scope: Construct, name: string): string | undefined {
  const value: unknown = scope.node.tryGetContext(name)
  return value === undefined ? undefined : String(value)
}

/** What stands between commas; nothing when nothing is told. */
function listOf(scope: Construct, name: string): string[] {
  return (contextOf(scope, name) ?? '').split(',').filter((part) => part !== '')
}
