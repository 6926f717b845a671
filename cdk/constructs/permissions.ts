import { Stack } from 'aws-cdk-lib'
import type { Construct } from 'constructs'
import type { Plan } from '../../lib/pipeline/plan.ts'
import { checkpointLogKey, incarnationLogKey } from '../../lib/protocol/names.ts'
import type { Right } from './rights.ts'
import type { Stores } from './stores.ts'

/** What rights are about: where a pipeline keeps what. */
export interface Places {
  readonly scope: Construct
  readonly plan: Plan
  readonly stores: Stores
}

/** Stages records: deletes nothing, and sees no table. */
export function ingestRights(places: Places): readonly Right[] {
  const stagingPrefix = stagingOf(places)
  return [
    ...logRights(places),
    {
      actions: ['s3:PutObject', 's3:GetObject', 's3:AbortMultipartUpload'],
      on: objects(places, stagingPrefix),
      why: 'Segments lie below the staging prefix; their names are made up when they are written, and one whose answer was lost is looked at.',
    },
    listRight(places, [stagingPrefix]),
    ...keyRights(places),
  ]
}

/** Brings tables up to date. Makes none: that is what a deployment does. */
export function commitRights(places: Places): readonly Right[] {
  return [
    ...logRights(places),
    objectRight(
      places,
      ['s3:DeleteObject'],
      'Data files, metadata and state lie below tables and staging under names that are made up when they are written. Commit deletes only what it wrote itself for a checkpoint that another call won.',
    ),
    listRight(places, [stagingOf(places), tablePrefix(places)]),
    tableRight(
      places,
      ['glue:GetTable', 'glue:UpdateTable'],
      'Commit swaps the metadata of the tables of the pipeline, those among them that the definition no longer has: the last checkpoint may hold files for them.',
    ),
    ...keyRights(places),
  ]
}

/** Makes tables, while a stack is deployed. */
export function provisionRights(places: Places): readonly Right[] {
  return [
    ...logRights(places),
    objectRight(
      places,
      [],
      'The first metadata of a table lies below it under a name that is made up when it is written; how far the logs are lies in staging.',
    ),
    listRight(places, [stagingOf(places), tablePrefix(places)]),
    tableRight(
      places,
      ['glue:GetTable', 'glue:CreateTable', 'glue:UpdateTable'],
      'Provisioning makes the tables of the pipeline and adds columns to them, and looks at tables that the definition no longer has: something may be staged for them.',
    ),
    ...keyRights(places),
  ]
}

/** To read tables by their names: Athena, Spark, PyIceberg. */
export function readTableRights(places: Places): readonly Right[] {
  const { plan } = places
  return [
    {
      actions: ['glue:GetDatabase', 'glue:GetTable', 'glue:GetTables'],
      on: [...catalogArns(places), glueArn(places, 'table', `${plan.namespace}/*`)],
      why: 'Engines look tables up by name; to list them asks for all tables of the database.',
    },
    { actions: ['s3:GetObject'], on: objects(places, tablePrefix(places)), why: 'Files of the tables.' },
    listRight(places, [tablePrefix(places)]),
    ...keys(places).map((key): Right => ({ actions: ['kms:Decrypt'], on: [key], why: 'Files are encrypted under this key.' })),
  ]
}

/** To look into the logs as `frazil plan` does, which reads the tables as well. */
export function readLogRights(places: Places): readonly Right[] {
  return [
    logRight(places, ['dynamodb:Query', 'dynamodb:BatchGetItem'], 'Entries of the logs.'),
    {
      actions: ['dynamodb:DescribeTable'],
      on: [places.stores.logTable.tableArn],
      why: 'The command line looks whether the table is there before it reads.',
    },
    { actions: ['s3:GetObject'], on: objects(places, stagingOf(places)), why: 'What the entries name.' },
    listRight(places, [stagingOf(places)]),
    ...keys(places).map((key): Right => ({ actions: ['kms:Decrypt'], on: [key], why: 'Logs and files are encrypted under it.' })),
  ]
}

function logRights(places: Places): readonly Right[] {
  return [
    logRight(
      places,
      ['dynamodb:Query', 'dynamodb:PutItem', 'dynamodb:BatchGetItem'],
      'Reads the tail of a log, appends under a condition, reads the floor. Nothing is updated, deleted or scanned.',
    ),
  ]
}

/** Of the logs of this pipeline alone: several may share a table. Their floors lie under the same keys. */
function logRight({ stores, plan: { name } }: Places, actions: readonly string[], why: string): Right {
  // An asterisk of IAM takes slashes, too.
  const anything = '*'
  const keys = [incarnationLogKey(name), checkpointLogKey(name, anything), `staging/${name}/${anything}`]
  return {
    actions,
    on: [stores.logTable.tableArn],
    when: { 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': keys } },
    why,
  }
}

function objectRight(places: Places, more: readonly string[], why: string): Right {
  return {
    actions: ['s3:PutObject', 's3:GetObject', 's3:AbortMultipartUpload', ...more],
    on: objects(places, stagingOf(places), tablePrefix(places)),
    why,
  }
}

/**
 * S3 asks for this right also to decide whether a key that is not there is "not there" or "denied". Whether it then has a prefix
 * to match is not documented, so the condition holds where it has none.
 */
function listRight({ stores }: Places, prefixes: readonly string[]): Right {
  return {
    actions: ['s3:ListBucket'],
    on: [stores.bucket.bucketArn],
    when: { StringLikeIfExists: { 's3:prefix': prefixes.map((prefix) => `${prefix}*`) } },
    why: 'Without it S3 says "denied" where nothing is.',
  }
}

/** Where `lib/runtime` puts tables: `house/trades/`. */
const tablePrefix = ({ stores, plan }: Places): string => `${stores.prefix}${plan.namespace}/`

/** Where all names of `lib/protocol/names.ts` lie: they begin with the pipeline's. */
const stagingOf = ({ stores, plan }: Places): string => `${stores.stagingPrefix}${plan.name}/`

const objects = ({ stores }: Places, ...prefixes: readonly string[]): readonly string[] =>
  prefixes.map((prefix) => `${stores.bucket.bucketArn}/${prefix}*`)

/** On the whole database: a definition does not name the tables that it no longer has. */
function tableRight(places: Places, actions: readonly string[], why: string): Right {
  return { actions, on: [...catalogArns(places), glueArn(places, 'table', `${places.plan.namespace}/*`)], why }
}

function catalogArns(places: Places): readonly string[] {
  return [glueArn(places, 'catalog'), glueArn(places, 'database', places.plan.namespace)]
}

function glueArn({ scope }: Places, resource: 'catalog' | 'database' | 'table', resourceName?: string): string {
  return Stack.of(scope).formatArn({ service: 'glue', resource, ...(resourceName === undefined ? {} : { resourceName }) })
}

/** What S3 and DynamoDB ask of a caller for data under a customer's key, and through them only. */
function keyRights(places: Places): readonly Right[] {
  const { region, urlSuffix } = Stack.of(places.scope)
  return keys(places).map((key) => ({
    actions: ['kms:Decrypt', 'kms:DescribeKey', 'kms:Encrypt', 'kms:GenerateDataKey', 'kms:ReEncryptFrom', 'kms:ReEncryptTo'],
    on: [key],
    when: { StringEquals: { 'kms:ViaService': [`dynamodb.${region}.${urlSuffix}`, `s3.${region}.${urlSuffix}`] } },
    why: 'Bucket and table of the logs are encrypted under this key.',
  }))
}

/**
 * ARNs of the keys that bucket and table of the logs lie under. What was imported by its name does not say, and is taken to lie
 * under the key of the pipeline.
 */
function keys({ stores: { key, bucket, logTable } }: Places): readonly string[] {
  return [...new Set([bucket, logTable].map(({ encryptionKey = key }) => encryptionKey.keyArn))]
}
