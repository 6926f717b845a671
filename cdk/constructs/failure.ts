import type * as kms from 'aws-cdk-lib/aws-kms'
import type * as lambda from 'aws-cdk-lib/aws-lambda'
import type * as s3 from 'aws-cdk-lib/aws-s3'
import type * as sns from 'aws-cdk-lib/aws-sns'
import type * as sqs from 'aws-cdk-lib/aws-sqs'
import type { Right } from './rights.ts'

/** Takes what an event source mapping gave up on. */
export type FailureDestination = sqs.IQueue | sns.ITopic | s3.IBucket

/** The destination as an event source mapping takes it. CDK's own ones grant more than to write, on S3 even to delete. */
export function deadLetterOptions(destination: FailureDestination): Pick<lambda.EventSourceMappingOptions, 'onFailure'> {
  return { onFailure: { bind: () => ({ destination: arnOf(destination) }) } }
}

/** The mapping sends under the role of its function (https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure.html). */
export function failureRights(destination: FailureDestination): readonly Right[] {
  const arn = arnOf(destination)
  const why = 'The mapping tells what it gave up on.'
  if ('bucketArn' in destination)
    return [
      { actions: ['s3:PutObject'], on: [`${arn}/aws/lambda/*`], why: `${why} Lambda names the objects.` },
      { actions: ['s3:ListBucket'], on: [arn], why: 'Lambda asks for it.' },
      ...keyRights(destination.encryptionKey, ['kms:GenerateDataKey']),
    ]
  const actions = 'queueArn' in destination ? ['sqs:SendMessage'] : ['sns:Publish']
  const key = 'queueArn' in destination ? destination.encryptionMasterKey : destination.masterKey
  return [{ actions, on: [arn], why }, ...keyRights(key, ['kms:Decrypt', 'kms:GenerateDataKey'])]
}

function keyRights(key: kms.IKeyRef | undefined, actions: readonly string[]): readonly Right[] {
  return key === undefined ? [] : [{ actions, on: [key.keyRef.keyArn], why: 'What is sent is encrypted under this key.' }]
}

function arnOf(destination: FailureDestination): string {
  if ('bucketArn' in destination) return destination.bucketArn
  return 'queueArn' in destination ? destination.queueArn : destination.topicArn
}
