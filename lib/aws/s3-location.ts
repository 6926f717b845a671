import { Buffer } from 'node:buffer'
import { usage } from '../errors.ts'

/** An object's two names, both literal. */
export interface S3Name {
  readonly bucket: string
  readonly key: string
}

/** Names of general purpose buckets and access point aliases. */
const LOCATION = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\/(.*)$/su
const MAX_KEY_BYTES = 1024

/**
 * The names in `s3://bucket/key`, literally: no percent-decoding. Throws `Usage` for anything else, and for keys that S3, or
 * a client on the way, would not keep as written.
 */
export function s3Name(location: string): S3Name {
  const name = s3Prefix(location)
  if (name.key === '') throw usage(`Cannot use location ${location}: expected a key after the bucket's name, found none.`)
  return name
}

/** As `s3Name`, for the start of names: the key may be empty. */
export function s3Prefix(location: string): S3Name {
  const [, bucket, key] = LOCATION.exec(location) ?? []
  if (bucket === undefined || key === undefined)
    throw usage(`Cannot use location ${location}: expected one like s3://bucket/key.`)
  const bytes = Buffer.byteLength(key)
  if (bytes > MAX_KEY_BYTES)
    throw usage(`Cannot use location ${location}: expected a key of at most ${MAX_KEY_BYTES} bytes, found ${bytes}.`)
  if (!key.isWellFormed()) throw usage(`Cannot use location ${location}: expected a key in Unicode, found half a character.`)
  if (key.split('/').some((segment) => segment === '.' || segment === '..'))
    throw usage(`Cannot use location ${location}: expected a plain key, without "." or ".." between slashes.`)
  return { bucket, key }
}
