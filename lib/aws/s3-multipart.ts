import { createHash } from 'node:crypto'
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import type { S3Name } from './s3-location.ts'

/** One part. S3 takes 5 MiB to 5 GiB, and 10,000 parts: with these, objects of 78 GiB. */
export const PART_BYTES = 8 * 1024 * 1024
/** Parts on their way at once: with `PART_BYTES` the bound of what an upload copies. */
export const PARTS_IN_FLIGHT = 4

export interface Upload {
  readonly id: string
  /** In order, as S3 wants them named on completion. */
  readonly parts: readonly CompletedPart[]
  /** What S3 will say of the whole: the SHA-256 of the parts' SHA-256 digests. */
  readonly sha256: string
}

/**
 * Uploads what `pieces` hold, joined, as one multipart object that does not exist until `completeUpload`. Throws what the SDK
 * throws, and then leaves nothing behind that must be paid for.
 */
export async function uploadParts(client: S3Client, { bucket, key }: S3Name, pieces: readonly Uint8Array[]): Promise<Upload> {
  const name = { Bucket: bucket, Key: key }
  const { UploadId: id = '' } = await client.send(
    new CreateMultipartUploadCommand({ ...name, ChecksumAlgorithm: 'SHA256', ChecksumType: 'COMPOSITE' }),
  )
  const parts: CompletedPart[] = []
  const digests: Buffer[] = []
  const queue = cut(pieces, PART_BYTES)
  const worker = async () => {
    // Workers share the queue, and one that fails closes it for all.
    for (const { index, bytes } of queue) {
      const digest = createHash('sha256').update(bytes).digest()
      const part = { PartNumber: index + 1, ChecksumSHA256: digest.toString('base64') }
      const { ETag } = await client.send(new UploadPartCommand({ ...name, ...part, UploadId: id, Body: bytes }))
      parts[index] = { ...part, ETag }
      digests[index] = digest
    }
  }
  // All of them must have ended before an abort: a part that arrives after it would stay.
  const ended = await Promise.allSettled(Array.from({ length: PARTS_IN_FLIGHT }, worker))
  for (const result of ended) {
    if (result.status === 'fulfilled') continue
    await abortUpload(client, { bucket, key }, id)
    throw result.reason
  }
  const whole = createHash('sha256')
  for (const digest of digests) whole.update(digest)
  return { id, parts, sha256: whole.digest('base64') }
}

/** Makes the object, if there is none of its name. Throws what the SDK throws; then abort, or find out. */
export async function completeUpload(
  client: S3Client,
  { bucket, key }: S3Name,
  upload: Upload,
  sizeBytes: number,
): Promise<void> {
  await client.send(
    new CompleteMultipartUploadCommand({
      Bucket: bucket,
      Key: key,
      UploadId: upload.id,
      MultipartUpload: { Parts: [...upload.parts] },
      ChecksumType: 'COMPOSITE',
      MpuObjectSize: sizeBytes,
      IfNoneMatch: '*',
    }),
  )
}

/**
 * Lets go of an upload's parts. It is done on the way out of a failure, which is what the caller must hear of, so its own is
 * not told: the bucket's lifecycle rule for unfinished uploads has the last word, as it has for killed processes.
 */
export async function abortUpload(client: S3Client, { bucket, key }: S3Name, id: string): Promise<void> {
  await client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key: key, UploadId: id })).catch(() => {})
}

/** What `pieces` hold, joined, in parts of `size` bytes, the last one shorter. Copies only parts that span several pieces. */
export function* cut(pieces: readonly Uint8Array[], size: number): Generator<{ index: number; bytes: Uint8Array }, void, void> {
  let index = 0
  let held: Uint8Array[] = []
  let heldBytes = 0
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; ) {
      const taken = piece.subarray(at, at + size - heldBytes)
      held.push(taken)
      heldBytes += taken.length
      at += taken.length
      if (heldBytes < size) continue
      yield { index: index++, bytes: joined(held, heldBytes) }
      held = []
      heldBytes = 0
    }
  }
  if (heldBytes > 0) yield { index, bytes: joined(held, heldBytes) }
}

/** One array of all bytes: the piece itself when it is the only one. */
export function joined(pieces: readonly Uint8Array[], size: number): Uint8Array {
  const [only] = pieces
  return pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces, size)
}
