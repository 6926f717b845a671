import { createHash } from 'node:crypto'
import {
  DeleteObjectCommand,
  GetObjectCommand,
  type GetObjectCommandOutput,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { refused, unavailable, usage } from '../errors.ts'
import type { ObjectInfo, Objects } from '../ports/objects.ts'
import { type CallBudget, type ClientOptions, clientConfig, REPEATABLE, retryConflicts } from './clients.ts'
import { asOurs, type Call } from './errors.ts'
import { type S3Name, s3Name, s3Prefix } from './s3-location.ts'
import { abortUpload, completeUpload, joined, PART_BYTES, uploadParts } from './s3-multipart.ts'

/** Objects up to this size are written by one request, larger ones in parts. */
export const MAX_SINGLE_PUT_BYTES = 2 * PART_BYTES

export interface S3ObjectsOptions extends ClientOptions {
  /** One made by `s3Client`, which the caller closes. @default one of its own */
  readonly client?: S3Client
}

export interface S3Objects extends Objects {
  /** Closes its own connections; a client that was passed in stays open. */
  close(): void
}

/** A client for `openS3Objects`: every call it makes is harmless to repeat. */
export function s3Client(options: ClientOptions = {}, budget: CallBudget = REPEATABLE): S3Client {
  const { AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL } = process.env
  const client = new S3Client({
    ...clientConfig(budget, options),
    // Behind an endpoint of one's own a bucket has no host name, so its name goes into the path.
    forcePathStyle: Boolean(options.endpoint ?? AWS_ENDPOINT_URL_S3 ?? AWS_ENDPOINT_URL),
    responseChecksumValidation: 'WHEN_SUPPORTED',
  })
  return retryConflicts(client)
}

/**
 * Objects on S3, `s3://bucket/key`. Names are unique, and S3 holds us to it: every write asks that nothing has its name
 * (`If-None-Match: *`). A name taken by the very same bytes counts as written: so a write whose answer was lost, repeated by
 * the client, recognises itself; other bytes throw `Refused`. "The same" means size and SHA-256 as S3 checked and stored it:
 * whoever put them there, what `put` promises is then true.
 *
 * A put of more than `MAX_SINGLE_PUT_BYTES` copies at most `PARTS_IN_FLIGHT` parts at a time. Every failed one aborts its
 * upload; a killed process leaves one, so a bucket wants a lifecycle rule (AbortIncompleteMultipartUpload).
 *
 * Permissions: s3:PutObject, GetObject, DeleteObject, AbortMultipartUpload on objects, s3:ListBucket on the bucket.
 */
export function openS3Objects({ client: given, ...options }: S3ObjectsOptions = {}): S3Objects {
  const client = given ?? s3Client(options)

  async function putWhole(name: S3Name, parts: readonly Uint8Array[], sizeBytes: number): Promise<void> {
    const body = joined(parts, sizeBytes)
    const sha256 = createHash('sha256').update(body).digest('base64')
    try {
      await client.send(new PutObjectCommand({ ...named(name), Body: body, ChecksumSHA256: sha256, IfNoneMatch: '*' }))
    } catch (error) {
      if (!isTaken(error)) throw asOurs(error, writing(name))
      if (!(await holds(name, sizeBytes, sha256))) throw goneMeanwhile(name)
    }
  }

  async function putInParts(name: S3Name, parts: readonly Uint8Array[], sizeBytes: number): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const upload = await uploadParts(client, name, parts).catch((error) => {
        throw asOurs(error, writing(name))
      })
      try {
        return await completeUpload(client, name, upload, sizeBytes)
      } catch (error) {
        // Whatever became of the completion, after this the upload is either the object or gone.
        await abortUpload(client, name, upload.id)
        const mayBeOurs = isTaken(error) || is(error, 'NoSuchUpload')
        if (mayBeOurs && (await holds(name, sizeBytes, upload.sha256))) return
        // S3 wants the parts again after a conflict, and an upload that is neither object nor there is lost.
        if (attempt < REPEATABLE.attempts && (mayBeOurs || isConflict(error))) continue
        throw mayBeOurs ? goneMeanwhile(name) : asOurs(error, writing(name))
      }
    }
  }

  /** True when the object is these bytes, false when there is none. Throws `Refused` when it is another. */
  async function holds(name: S3Name, sizeBytes: number, sha256: string): Promise<boolean> {
    try {
      const found = await client.send(new HeadObjectCommand({ ...named(name), ChecksumMode: 'ENABLED' }))
      // Of an object in parts S3 says `digest-n`, n being their number.
      const foundSha256 = found.ChecksumSHA256?.replace(/-\d+$/, '')
      if (found.ContentLength === sizeBytes && foundSha256 === sha256) return true
      throw refused(
        `Cannot write ${locationOf(name)}: expected that nothing has this name, found ${found.ContentLength} bytes ${
          foundSha256 === undefined ? 'whose SHA-256 S3 does not tell' : 'of other content'
        }. Nothing was overwritten. Find out who else writes there.`,
      )
    } catch (error) {
      if (is(error, 'NotFound', 'NoSuchKey')) return false
      throw asOurs(error, reading(name))
    }
  }

  async function get(location: string, range?: { offset: number; length: number }): Promise<Uint8Array | undefined> {
    const name = s3Name(location)
    const command = { ...named(name), Range: rangeHeader(location, range) }
    if (range?.length === 0) return (await sizeOf(name)) === undefined ? undefined : new Uint8Array(0)
    for (let attempt = 1; ; attempt++) {
      let body: GetObjectCommandOutput['Body']
      try {
        ;({ Body: body } = await client.send(new GetObjectCommand(command)))
      } catch (error) {
        if (is(error, 'NoSuchKey')) return undefined
        if (is(error, 'InvalidRange')) return new Uint8Array(0)
        throw asOurs(error, reading(name))
      }
      try {
        const bytes = (await body?.transformToByteArray()) ?? new Uint8Array(0)
        return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      } catch (error) {
        // The client repeats calls that fail, but not those whose answer breaks off.
        if (attempt === REPEATABLE.attempts) throw asOurs(error, reading(name))
      }
    }
  }

  /** HeadObject, whose errors have no body: why it failed, and that there is such a bucket, only a GetObject tells. */
  async function sizeOf(name: S3Name): Promise<number | undefined> {
    for (let attempt = 1; ; attempt++) {
      try {
        return (await client.send(new HeadObjectCommand(named(name)))).ContentLength
      } catch (error) {
        const status = statusOf(error) ?? 0
        if (status < 300 || status >= 500) throw asOurs(error, reading(name))
        const bytes = await get(locationOf(name), { offset: 0, length: 1 })
        if (bytes === undefined) return undefined
        // It was put just now, or a right to HeadObject is missing.
        if (attempt === 2) throw asOurs(error, reading(name))
      }
    }
  }

  return {
    async put(location, parts) {
      const name = s3Name(location)
      const sizeBytes = parts.reduce((sum, part) => sum + part.length, 0)
      await (sizeBytes <= MAX_SINGLE_PUT_BYTES ? putWhole : putInParts)(name, parts, sizeBytes)
    },
    get,
    async size(location) {
      return await sizeOf(s3Name(location))
    },
    async delete(location) {
      const name = s3Name(location)
      await client.send(new DeleteObjectCommand(named(name))).catch((error) => {
        throw asOurs(error, call(name, `delete ${location}`, 's3:DeleteObject', 'objects'))
      })
    },
    async *list(prefix): AsyncIterable<ObjectInfo> {
      const name = s3Prefix(prefix)
      const listing = call(name, `list ${prefix}`, 's3:ListBucket', 'bucket')
      let from: string | undefined
      do {
        const page = await client
          .send(new ListObjectsV2Command({ Bucket: name.bucket, Prefix: name.key, ContinuationToken: from, EncodingType: 'url' }))
          .catch((error) => {
            throw asOurs(error, listing)
          })
        for (const { Key = '', Size = 0, LastModified } of page.Contents ?? []) {
          const key = page.EncodingType === 'url' ? decodeURIComponent(Key.replaceAll('+', ' ')) : Key
          yield { location: locationOf({ ...name, key }), sizeBytes: Size, modifiedMs: LastModified?.getTime() ?? 0 }
        }
        from = page.IsTruncated ? page.NextContinuationToken : undefined
      } while (from !== undefined)
    },
    close() {
      if (given === undefined) client.destroy()
    },
  }
}

const named = ({ bucket, key }: S3Name) => ({ Bucket: bucket, Key: key })
const locationOf = ({ bucket, key }: S3Name) => `s3://${bucket}/${key}`

function rangeHeader(location: string, range?: { offset: number; length: number }): string | undefined {
  if (range === undefined) return undefined
  const { offset, length } = range
  // S3 answers a range that makes no sense with the whole object.
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0)
    throw usage(`Cannot read ${location}: expected a range of whole bytes, found ${length} from ${offset}.`)
  return `bytes=${offset}-${offset + length - 1}`
}

/** What a call is called in its errors. */
function call({ bucket }: S3Name, doing: string, permission: string, on: 'objects' | 'bucket'): Call {
  return {
    doing,
    permission: `${permission} on ${on === 'bucket' ? `bucket ${bucket}` : `s3://${bucket}/*`}`,
    missing: `a bucket ${bucket}`,
  }
}
const writing = (name: S3Name) => call(name, `write ${locationOf(name)}`, 's3:PutObject', 'objects')
const reading = (name: S3Name): Call => ({
  ...call(name, `read ${locationOf(name)}`, 's3:GetObject', 'objects'),
  permission: `s3:GetObject on s3://${name.bucket}/*, and s3:ListBucket on the bucket, without which S3 says the same of what does not exist,`,
})

function goneMeanwhile(name: S3Name) {
  return unavailable(`Cannot write ${locationOf(name)}: its name was taken, and a moment later nothing had it. Try again.`)
}

function is(error: unknown, ...names: string[]): boolean {
  return error instanceof Error && names.includes(error.name)
}
const isConflict = (error: unknown) => is(error, 'ConditionalRequestConflict', 'OperationAborted')
/** By name also, since S3 may say it in an answer that began as a success. */
const isTaken = (error: unknown) => is(error, 'PreconditionFailed') || statusOf(error) === 412

function statusOf(error: unknown): number | undefined {
  return (error as { $metadata?: { httpStatusCode?: number } } | undefined)?.$metadata?.httpStatusCode
}
