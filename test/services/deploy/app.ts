import { App, CfnOutput, Duration, Stack } from 'aws-cdk-lib'
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager'
import { StreamingPipeline, selfManaged } from '../../../cdk/constructs/index.ts'
import { messageOf, usage } from '../../../lib/errors.ts'
import first from './first.ts'
import refused from './refused.ts'
import second from './second.ts'

/**
 * The app of the deployment test: -c stack=NAME -c brokers=HOST:PORT -c definition=first|second|refused; TOPIC and NAMESPACE in
 * the environment, where the definitions look.
 */
const DEFINITIONS = { first, second, refused }
const { TOPIC = 'trades' } = process.env
/** Nobody looks at it: the local poller logs in nowhere. */
const LOGIN = 'arn:aws:secretsmanager:us-east-1:000000000000:secret:kafka-login-AbCdEf'

const app = new App()
const [name, brokers, definition] = ['stack', 'brokers', 'definition'].map((key) => String(app.node.tryGetContext(key)))
const pipeline = Object.entries(DEFINITIONS).find(([key]) => key === definition)?.[1]
if (pipeline === undefined) throw usage(`Cannot make the app: expected one of ${Object.keys(DEFINITIONS)}, found ${definition}.`)
const stack = new Stack(app, name)
const deployed = new StreamingPipeline(stack, 'Pipeline', {
  pipeline,
  source: selfManaged({
    bootstrapServers: [brokers],
    authentication: { scram512: secretsmanager.Secret.fromSecretCompleteArn(stack, 'Login', LOGIN) },
  }),
  partitions: { [TOPIC]: 4 },
  batchSize: 5000,
  batchWindow: Duration.seconds(1),
  // ministack refuses alarms on expressions, and the stack with them.
  withoutAlarms: ['lateShare'],
})
new CfnOutput(stack, 'Ingest', { value: deployed.ingest.functionName })
new CfnOutput(stack, 'Commit', { value: deployed.commit.functionName })
const { compaction, expire, orphans, trim } = deployed.maintenance
const kept = { Compaction: compaction?.stateMachineArn, Expire: expire?.functionName, Orphans: orphans?.functionName }
for (const [key, value = ''] of Object.entries({ ...kept, Trim: trim?.functionName })) new CfnOutput(stack, key, { value })
try {
  app.synth()
} catch (error) {
  console.error(messageOf(error))
  process.exitCode = 1
}
