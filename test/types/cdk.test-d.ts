import type { Stack } from 'aws-cdk-lib'
import type * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager'
import type * as sqs from 'aws-cdk-lib/aws-sqs'
import { msk, mskServerless, StreamingPipeline, selfManaged } from '../../cdk/constructs/index.ts'
import trades from '../../pipelines/trades.ts'

declare const stack: Stack
declare const secret: secretsmanager.ISecret
declare const queue: sqs.IQueue

const clusterArn = 'arn'
const source = msk({ clusterArn })
const pollers = { minimum: 1, maximum: 1 }

new StreamingPipeline(stack, 'A', { pipeline: trades, source })
new StreamingPipeline(stack, 'B', { pipeline: trades, source, pollers, onFailure: { destination: queue, acceptLoss: true } })

// @ts-expect-error loss is accepted in so many words
new StreamingPipeline(stack, 'C', { pipeline: trades, source, pollers, onFailure: { destination: queue } })
// @ts-expect-error and not by false
new StreamingPipeline(stack, 'D', { pipeline: trades, source, pollers, onFailure: { destination: queue, acceptLoss: false } })
// @ts-expect-error there is no latest
new StreamingPipeline(stack, 'E', { pipeline: trades, source, startingPosition: 'LATEST' })
// @ts-expect-error retries have no end
new StreamingPipeline(stack, 'F', { pipeline: trades, source, retryAttempts: 3 })
// @ts-expect-error a source is made by msk(), mskServerless() or selfManaged()
new StreamingPipeline(stack, 'G', { pipeline: trades, source: clusterArn })

mskServerless({ clusterArn })
// @ts-expect-error MSK Serverless knows IAM alone
mskServerless({ clusterArn, authentication: { scram: secret } })

msk({ clusterArn, authentication: { scram: secret } })
// @ts-expect-error MSK has no SASL/PLAIN
msk({ clusterArn, authentication: { plain: secret } })

selfManaged({ bootstrapServers: ['b:9096'], authentication: { scram256: secret } })
// @ts-expect-error self-managed brokers do not know IAM
selfManaged({ bootstrapServers: ['b:9096'], authentication: 'iam' })
