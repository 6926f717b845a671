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
      'Data files, metadata and state lie below tables and staging under names that are made up when they are written. Commit deletes only what it wrote itself for a checkpoint that another call won, and the metadata files that a table has let go of.',
    ),
    listRight(places, [stagingOf(places), tablePrefix(places)]),
    swapRight(
      places,
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

/** Rewrites small files: sees tables, and neither logs nor staging. */
export function compactRights(places: Places): readonly Right[] {
  return [
    tableObjectRight(
      places,
      'Data files and metadata lie below tables under names that are made up when they are written. Compaction deletes only what it wrote itself and did not commit, and metadata files that a table has let go of.',
    ),
    listRight(places, [tablePrefix(places)]),
    swapRight(places, 'Compaction swaps the metadata of tables for one that names fewer files.'),
    ...keyRights(places, ['s3']),
  ]
}

/** Expires snapshots and old partitions: sees tables, and neither logs nor staging. */
export function expireRights(places: Places): readonly Right[] {
  return [
    tableObjectRight(
      places,
      'Expiry deletes files that only expired snapshots named, and keeps lists of them beside the metadata of the table until they are gone.',
    ),
    listRight(places, [tablePrefix(places)]),
    swapRight(places, 'Expiry swaps the metadata of tables for one that names fewer snapshots.'),
    ...keyRights(places, ['s3']),
  ]
}

/** Deletes files that no table names. Where a commit stands it learns from the checkpoint log. */
export function orphansRights(places: Places): readonly Right[] {
  return [
    logRight(places, ['dynamodb:Query'], 'Reads the last checkpoint: a file of a commit under way is no orphan. Writes nothing.'),
    tableObjectRight(
      places,
      'The sweep lists what lies below tables, keeps lists of files that nothing names beside their metadata, and deletes those that were long enough on one.',
    ),
    {
      actions: ['s3:GetObject'],
      on: objects(places, stagingOf(places)),
      why: 'The body of the last checkpoint lies in staging under a name that was made up when it was written.',
    },
    listRight(places, [stagingOf(places), tablePrefix(places)]),
    swapRight(
      places,
      'The sweep raises the fence of a table by a swap before it deletes, so that no commit under way can name what goes.',
    ),
    ...keyRights(places),
  ]
}

/** Trims logs and staging: sees no table. */
export function trimRights(places: Places): readonly Right[] {
  return [
    logRight(
      places,
      ['dynamodb:Query', 'dynamodb:BatchGetItem', 'dynamodb:UpdateItem', 'dynamodb:BatchWriteItem'],
      'Reads the tails of logs and their floors, raises the floors, and deletes entries below them.',
    ),
    {
      actions: ['s3:GetObject', 's3:DeleteObject'],
      on: objects(places, stagingOf(places)),
      why: 'Staged objects say in their names and footers what they were written for; those that are proved dead are deleted.',
    },
    listRight(places, [stagingOf(places)]),
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

function tableObjectRight(places: Places, why: string): Right {
  return {
    actions: ['s3:PutObject', 's3:GetObject', 's3:AbortMultipartUpload', 's3:DeleteObject'],
    on: objects(places, tablePrefix(places)),
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

const swapRight = (places: Places, why: string): Right => tableRight(places, ['glue:GetTable', 'glue:UpdateTable'], why)

function catalogArns(places: Places): readonly string[] {
  return [glueArn(places, 'catalog'), glueArn(places, 'database', places.plan.namespace)]
}

function glueArn({ scope }: Places, resource: 'catalog' | 'database' | 'table', resourceName?: string): string {
  return Stack.of(scope).formatArn({ service: 'glue', resource, ...(resourceName === undefined ? {} : { resourceName }) })
}

/** Services that data are reached through, and what of the stores lies there. */
const DATA_IN = { s3: 'bucket', dynamodb: 'logTable' } as const
type DataService = keyof typeof DATA_IN
const ALL_DATA: readonly DataService[] = ['s3', 'dynamodb']

/** What S3 and DynamoDB ask of a caller for data under a customer's key, and through them only. */
function keyRights(places: Places, services: readonly DataService[] = ALL_DATA): readonly Right[] {
  const { region, urlSuffix } = Stack.of(places.scope)
  return keys(places, services).map((key) => ({
    actions: ['kms:Decrypt', 'kms:DescribeKey', 'kms:Encrypt', 'kms:GenerateDataKey', 'kms:ReEncryptFrom', 'kms:ReEncryptTo'],
    on: [key],
    when: { StringEquals: { 'kms:ViaService': [...services].sort().map((service) => `${service}.${region}.${urlSuffix}`) } },
    why: `${services.length === 1 ? 'The bucket is' : 'Bucket and table of the logs are'} encrypted under this key.`,
  }))
}

/**
 * ARNs of the keys that bucket and table of the logs lie under. What was imported by its name does not say, and is taken to lie
 * under the key of the pipeline.
 */
function keys({ stores }: Places, services: readonly DataService[] = ALL_DATA): readonly string[] {
  return [...new Set(services.map((service) => (stores[DATA_IN[service]].encryptionKey ?? stores.key).keyArn))]
}
