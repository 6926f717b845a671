import { randomBytes } from 'node:crypto'
import { createServer, type Server } from 'node:net'
import { Readable } from 'node:stream'
import {
  CreateBucketCommand,
  GetBucketLocationCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { REPEATABLE } from '../../lib/aws/clients.ts'
import { PART_BYTES, PARTS_IN_FLIGHT } from '../../lib/aws/s3-multipart.ts'
import { MAX_SINGLE_PUT_BYTES, openS3Objects, type S3Objects, s3Client } from '../../lib/aws/s3-objects.ts'
import { describeObjects } from '../conformance/objects.ts'
import { connectionReset, type Faults, injectFaults, serviceError, timedOut } from './faults.ts'
import { ministack, uniqueName } from './services.ts'

const bucket = uniqueName('objects')
let base: string
let tests = 0

beforeAll(async () => {
  const client = s3Client(ministack())
  await client.send(new CreateBucketCommand({ Bucket: bucket }))
  client.destroy()
})

const newBase = () => `s3://${bucket}/${++tests}/`

describeObjects('S3 (ministack)', async () => {
  const objects = openS3Objects(ministack())
  return { objects, base: newBase(), close: async () => objects.close() }
})

const text = (value: string) => new TextEncoder().encode(value)

describe('objects on S3', () => {
  let client: S3Client
  let objects: S3Objects
  let faults: Faults

  beforeEach(() => {
    base = newBase()
    client = s3Client(ministack())
    faults = injectFaults(client)
    objects = openS3Objects({ client })
  })
  afterEach(() => client.destroy())

  const read = async (location: string) => {
    const bytes = await objects.get(location)
    return bytes === undefined ? undefined : new TextDecoder().decode(bytes)
  }
  const uploadsLeft = async () => {
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }))
    return Uploads.length
  }
  /** `bytes` of noise, in pieces of `pieceBytes`: the same arrays in each call, for what is compared is S3's answer. */
  const pieces = (bytes: number, pieceBytes: number): Uint8Array[] => {
    const noise = randomBytes(bytes)
    return Array.from({ length: Math.ceil(bytes / pieceBytes) }, (_, i) => noise.subarray(i * pieceBytes, (i + 1) * pieceBytes))
  }
  const LARGE = MAX_SINGLE_PUT_BYTES + 1

  describe('names', () => {
    it('are literal, whatever they are made of', async () => {
      const names = ['//a//b', 'a/', ' a ', 'tab\tand\nnewline', '&amp;<x>', '%2e%2e', '=$*,;:@!~', '𝄞', '\u00a0', 'a\\b', '...']
      for (const name of names) await objects.put(base + name, [text(name)])
      for (const name of names) expect(await read(base + name)).toBe(name)
      const found = []
      for await (const { location } of objects.list(base)) found.push(location)
      expect(found.sort()).toEqual(names.map((name) => base + name).sort())
    })

    it('that are not s3://bucket/key are usage errors, before any call', async () => {
      const odd = [
        'file:///a/b',
        's3a://bucket/key',
        's3:/bucket/key',
        's3://Bucket/key',
        's3://b/key',
        's3:///key',
        's3://bucket',
        's3://bucket/',
        's3://bucket/a/../b',
        's3://bucket/./b',
        `s3://bucket/${'k'.repeat(1025)}`,
        `s3://bucket/${'é'.repeat(513)}`,
        's3://bucket/\ud800',
        'https://bucket/key',
        '',
      ]
      for (const location of odd) {
        await expect(objects.put(location, []), location).rejects.toMatchObject({ kind: 'Usage' })
        await expect(objects.get(location), location).rejects.toMatchObject({ kind: 'Usage' })
        await expect(objects.size(location), location).rejects.toMatchObject({ kind: 'Usage' })
        await expect(objects.delete(location), location).rejects.toMatchObject({ kind: 'Usage' })
      }
      await expect(objects.list('s3://bucket')[Symbol.asyncIterator]().next()).rejects.toMatchObject({ kind: 'Usage' })
      expect(faults.count()).toBe(0)
    })

    it('of 1,024 bytes are fine', async () => {
      const location = base + 'k'.repeat(1024 - base.length + `s3://${bucket}/`.length)
      await objects.put(location, [text('long')])
      expect(await read(location)).toBe('long')
    })
  })

  describe('a put', () => {
    it('of one object is one call, also of 16 MiB from many pieces', async () => {
      await objects.put(`${base}a`, [text('a')])
      await objects.put(`${base}b`, pieces(MAX_SINGLE_PUT_BYTES, 100_000))
      expect(faults.tries.map(({ command }) => command)).toEqual(['PutObject', 'PutObject'])
      expect(await objects.size(`${base}b`)).toBe(MAX_SINGLE_PUT_BYTES)
    })

    it('lets S3 check and keep the SHA-256 of what it sends', async () => {
      await objects.put(`${base}a`, [text('abc')])
      const head = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: `${tests}/a`, ChecksumMode: 'ENABLED' }))
      // The test vector of FIPS 180-4, in base64.
      expect(head.ChecksumSHA256).toBe('ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=')
      await expect(
        client.send(
          new PutObjectCommand({ Bucket: bucket, Key: `${tests}/b`, Body: 'abd', ChecksumSHA256: head.ChecksumSHA256 }),
        ),
      ).rejects.toMatchObject({ name: expect.stringMatching(/BadDigest|InvalidRequest/) })
    })

    it('of a name that is taken by other bytes is refused, and overwrites nothing', async () => {
      await objects.put(`${base}a`, [text('first')])
      await expect(objects.put(`${base}a`, [text('other')])).rejects.toMatchObject({ kind: 'Refused' })
      await expect(objects.put(`${base}a`, [text('longer one')])).rejects.toThrow(/found 5 bytes of other content/)
      expect(await read(`${base}a`)).toBe('first')
    })

    it('of a name that is taken by the same bytes is done', async () => {
      await objects.put(`${base}a`, [text('same')])
      await objects.put(`${base}a`, [text('sa'), text('me')])
      expect(await read(`${base}a`)).toBe('same')
    })

    it('of a name that another wrote without a SHA-256 is refused', async () => {
      await client.send(new PutObjectCommand({ Bucket: bucket, Key: `${tests}/a`, Body: 'same' }))
      await expect(objects.put(`${base}a`, [text('same')])).rejects.toThrow(/found 4 bytes whose SHA-256 S3 does not tell/)
    })

    it('whose answers are lost recognises itself', async () => {
      for (const [name, lost] of Object.entries({ connectionReset, timedOut, error: () => serviceError('InternalError', 500) })) {
        faults.clear()
        faults.after('PutObject', lost)
        await objects.put(base + name, [text(name)])
        expect(faults.tries.map(({ command }) => command)).toEqual(['PutObject', 'PutObject', 'HeadObject'])
        expect(await read(base + name)).toBe(name)
      }
    })

    it('that S3 cannot take now is tried again: SlowDown, 409, 5xx, timeouts', async () => {
      const refusals = [
        () => serviceError('SlowDown', 503),
        () => serviceError('ConditionalRequestConflict', 409),
        () => serviceError('OperationAborted', 409),
        () => serviceError('InternalError', 500),
        () => serviceError('ServiceUnavailable', 503),
        timedOut,
        connectionReset,
      ]
      for (const [i, refusal] of refusals.entries()) {
        faults.before('PutObject', refusal)
        await objects.put(base + i, [text('x')])
      }
      expect(faults.count()).toBe(2 * refusals.length)
    })

    it('gives up when its budget is used up, and says so in one line', async () => {
      faults.before('PutObject', () => serviceError('ConditionalRequestConflict', 409), { times: 99 })
      await expect(objects.put(`${base}a`, [text('x')])).rejects.toMatchObject({
        kind: 'Unavailable',
        message: expect.stringMatching(new RegExp(`^Cannot write ${base}a: ConditionalRequestConflict .*again\\.$`)),
      })
      expect(faults.count()).toBe(REPEATABLE.attempts)
    })

    it('whose object is gone when it looks says that it may be tried again', async () => {
      faults.before('PutObject', () => serviceError('PreconditionFailed', 412))
      await expect(objects.put(`${base}a`, [text('x')])).rejects.toMatchObject({ kind: 'Unavailable' })
    })

    it('of many for one name has one winner, and only the same bytes share its success', async () => {
      for (const ways of [20, 50]) {
        const second = openS3Objects(ministack())
        const location = `${base}race-${ways}`
        const results = await Promise.allSettled(
          Array.from({ length: ways }, (_, i) => (i % 2 ? objects : second).put(location, [text(`writer ${i % (ways / 2)}`)])),
        )
        const winner = await read(location)
        const won = results.flatMap((result, i) => (result.status === 'fulfilled' ? [`writer ${i % (ways / 2)}`] : []))
        expect(won).toEqual([winner, winner])
        for (const result of results) if (result.status === 'rejected') expect(result.reason).toMatchObject({ kind: 'Refused' })
        second.close()
      }
    })
  })

  describe('a put in parts', () => {
    it('holds all bytes in order, 40 MB from 40,000 pieces, and few of them at a time', async () => {
      const bytes = randomBytes(40_000_003)
      const small = Array.from({ length: 40_001 }, (_, i) => bytes.subarray(i * 1000, (i + 1) * 1000))
      let flying = 0
      let most = 0
      client.middlewareStack.add(
        (next) => async (args) => {
          const { Body } = args.input as { Body?: Uint8Array }
          most = Math.max(most, (flying += Body?.length ?? 0))
          return next(args).finally(() => {
            flying -= Body?.length ?? 0
          })
        },
        { step: 'initialize' },
      )
      await objects.put(`${base}a`, small)
      expect(faults.count('UploadPart')).toBe(5)
      expect(faults.count('PutObject')).toBe(0)
      expect(most).toBeGreaterThan(PART_BYTES)
      expect(most).toBeLessThanOrEqual(PARTS_IN_FLIGHT * PART_BYTES)
      expect(Buffer.compare(Buffer.from((await objects.get(`${base}a`))!), bytes)).toBe(0)
      expect(await uploadsLeft()).toBe(0)
    })

    it('of a name that is taken by other bytes is refused, by the same is done, and leaves no upload', async () => {
      const first = pieces(LARGE, 1_000_000)
      await objects.put(`${base}a`, first)
      await objects.put(`${base}a`, [Buffer.concat(first)])
      const other = [...first.slice(0, -1), new Uint8Array(first.at(-1)!.length)]
      await expect(objects.put(`${base}a`, other)).rejects.toMatchObject({ kind: 'Refused' })
      expect(Buffer.compare(Buffer.from((await objects.get(`${base}a`))!), Buffer.concat(first))).toBe(0)
      expect(await uploadsLeft()).toBe(0)
    })

    it('whose last answer is lost recognises itself', async () => {
      faults.after('CompleteMultipartUpload', connectionReset)
      await objects.put(`${base}a`, pieces(LARGE, LARGE))
      expect(await objects.size(`${base}a`)).toBe(LARGE)
      expect(await uploadsLeft()).toBe(0)
    })

    it('recognises itself when S3 has forgotten the upload, or says that the name is taken', async () => {
      for (const name of ['NoSuchUpload', 'PreconditionFailed']) {
        faults.after('CompleteMultipartUpload', () => serviceError(name, name === 'NoSuchUpload' ? 404 : 412))
        await objects.put(base + name, pieces(LARGE, LARGE))
        expect(await objects.size(base + name)).toBe(LARGE)
      }
      expect(await uploadsLeft()).toBe(0)
    })

    it('sends its parts again when the upload is lost, or the conflict stays', async () => {
      faults.before('CompleteMultipartUpload', () => serviceError('NoSuchUpload', 404))
      await objects.put(`${base}a`, pieces(LARGE, LARGE))
      expect(faults.count('CreateMultipartUpload')).toBe(2)
      faults.clear()
      faults.before('CompleteMultipartUpload', () => serviceError('ConditionalRequestConflict', 409), {
        times: REPEATABLE.attempts,
      })
      await objects.put(`${base}b`, pieces(LARGE, LARGE))
      expect(faults.count('CreateMultipartUpload')).toBe(2)
      expect(await uploadsLeft()).toBe(0)
    })

    it('tries again what S3 cannot take now: SlowDown, 5xx, timeouts, lost answers', async () => {
      faults.before('CreateMultipartUpload', () => serviceError('SlowDown', 503))
      faults.before('UploadPart', () => serviceError('InternalError', 500))
      faults.before('UploadPart', timedOut)
      faults.after('UploadPart', connectionReset)
      faults.before('CompleteMultipartUpload', () => serviceError('InternalError', 503))
      await objects.put(`${base}a`, pieces(LARGE, 4_000_000))
      expect(await objects.size(`${base}a`)).toBe(LARGE)
      expect(await uploadsLeft()).toBe(0)
    })

    it('that fails leaves nothing that must be paid for, and no object', async () => {
      const large = pieces(6 * PART_BYTES, PART_BYTES)
      faults.before('UploadPart', () => serviceError('AccessDenied', 403), { skip: 2 })
      await expect(objects.put(`${base}a`, large)).rejects.toMatchObject({ kind: 'Usage' })
      // Nobody starts a part after the failure.
      expect(faults.count('UploadPart')).toBeLessThanOrEqual(2 + PARTS_IN_FLIGHT)
      faults.before('CompleteMultipartUpload', connectionReset, { times: 99 })
      await expect(objects.put(`${base}b`, large)).rejects.toMatchObject({ kind: 'Unavailable' })
      expect(await uploadsLeft()).toBe(0)
      expect(await objects.size(`${base}a`)).toBeUndefined()
      expect(await objects.size(`${base}b`)).toBeUndefined()
    })

    it('waits for parts on their way before it lets go of the upload: none arrives afterwards', async () => {
      const slow = faults.hold('UploadPart')
      faults.before('UploadPart', () => serviceError('AccessDenied', 403))
      const putting = objects.put(`${base}a`, pieces(LARGE, PART_BYTES)).catch((error) => error)
      await slow.reached
      // By the time S3 has answered another client, the two other parts have ended, one of them in failure.
      const second = openS3Objects(ministack())
      await second.size(`${base}a`)
      second.close()
      expect(faults.count('UploadPart')).toBe(3)
      expect(faults.count('AbortMultipartUpload')).toBe(0)
      slow.release()
      expect(await putting).toMatchObject({ kind: 'Usage' })
      expect(faults.tries.at(-1)?.command).toBe('AbortMultipartUpload')
      expect(await uploadsLeft()).toBe(0)
    })

    it('tells why it failed, also when it cannot let go of its upload', async () => {
      faults.before('UploadPart', () => serviceError('AccessDenied', 403))
      faults.before('AbortMultipartUpload', () => serviceError('InternalError', 500), { times: REPEATABLE.attempts })
      await expect(objects.put(`${base}a`, pieces(LARGE, LARGE))).rejects.toThrow(/access denied\. Grant s3:PutObject/)
      expect(await uploadsLeft()).toBe(1)
    })
  })

  describe('a read', () => {
    it('whose answer breaks off is tried again', async () => {
      await objects.put(`${base}a`, [text('whole')])
      const broken = ({ Body }: Record<string, unknown>) => {
        // The real answer is let go, which may break it off as well.
        ;(Body as Readable).on('error', () => {}).resume()
        const stream = new Readable({
          read() {
            this.push('who')
            this.destroy(connectionReset())
          },
        })
        return { Body: Object.assign(stream, { transformToByteArray: () => stream.toArray() }) }
      }
      faults.answer('GetObject', broken, { times: 2 })
      expect(await read(`${base}a`)).toBe('whole')
      expect(faults.count('GetObject')).toBe(3)
      faults.answer('GetObject', broken, { times: 99 })
      await expect(objects.get(`${base}a`)).rejects.toMatchObject({ kind: 'Unavailable' })
    })

    it('tries again what S3 cannot give now', async () => {
      await objects.put(`${base}a`, [text('x')])
      for (const command of ['GetObject', 'HeadObject', 'ListObjectsV2'])
        for (const fault of [() => serviceError('SlowDown', 503), () => serviceError('InternalError', 500), timedOut])
          faults.before(command, fault)
      expect(await read(`${base}a`)).toBe('x')
      expect(await objects.size(`${base}a`)).toBe(1)
      for await (const { sizeBytes } of objects.list(base)) expect(sizeBytes).toBe(1)
    })

    it('of a range that makes no sense is a usage error, for S3 would answer with the whole object', async () => {
      await objects.put(`${base}a`, [text('0123')])
      for (const [offset, length] of [
        [-1, 2],
        [0.5, 1],
        [0, -1],
        [Number.NaN, 1],
      ] as const)
        await expect(objects.get(`${base}a`, { offset, length })).rejects.toMatchObject({ kind: 'Usage' })
    })

    it('of an empty object, or of no bytes, gives none', async () => {
      await objects.put(`${base}empty`, [])
      expect(await objects.get(`${base}empty`, { offset: 0, length: 1 })).toEqual(new Uint8Array(0))
      expect(await objects.get(`${base}empty`, { offset: 0, length: 0 })).toEqual(new Uint8Array(0))
      expect(await objects.get(`${base}none`, { offset: 0, length: 0 })).toBeUndefined()
    })

    it('of a size whose object was put between its two looks finds it', async () => {
      await objects.put(`${base}a`, [text('1234')])
      faults.before('HeadObject', () => serviceError('NotFound', 404))
      expect(await objects.size(`${base}a`)).toBe(4)
    })

    it('of a size without the right to ask, though objects may be read, says so', async () => {
      await objects.put(`${base}a`, [text('1234')])
      faults.before('HeadObject', () => serviceError('403', 403), { times: 2 })
      await expect(objects.size(`${base}a`)).rejects.toThrow(/access denied\. Grant s3:GetObject/)
    })

    it('of a list decodes keys as S3 encodes them: a space is a plus', async () => {
      await objects.put(`${base}a b+c`, [text('x')])
      // ministack sends %20, which S3 would understand, but does not send.
      faults.answer('ListObjectsV2', (output) => {
        const [only] = output.Contents as { Key: string }[]
        expect(only.Key).toBe(`${tests}/a%20b%2Bc`)
        return { Contents: [{ ...only, Key: `${tests}/a+b%2Bc` }] }
      })
      for await (const { location } of objects.list(base)) expect(location).toBe(`${base}a b+c`)
      expect(faults.count('ListObjectsV2')).toBe(1)
    })

    it('of a list goes through all its pages', async () => {
      const names = Array.from({ length: 1005 }, (_, i) => `${base}${String(i).padStart(4, '0')}`)
      for (let i = 0; i < names.length; i += 67)
        await Promise.all(names.slice(i, i + 67).map((name) => objects.put(name, [text(name)])))
      const found = []
      for await (const { location } of objects.list(base)) found.push(location)
      expect(found).toEqual(names)
      expect(faults.count('ListObjectsV2')).toBe(2)
    })
  })

  describe('what is not set up', () => {
    const everyCall = (location: string): readonly (readonly [string, () => Promise<unknown>])[] => [
      ['put', () => objects.put(location, [text('x')])],
      ['put in parts', () => objects.put(location, [new Uint8Array(LARGE)])],
      ['get', () => objects.get(location)],
      ['get a range', () => objects.get(location, { offset: 0, length: 5 })],
      ['get nothing', () => objects.get(location, { offset: 0, length: 0 })],
      ['size', () => objects.size(location)],
      ['delete', () => objects.delete(location)],
      ['list', () => objects.list(location)[Symbol.asyncIterator]().next()],
    ]

    it('a missing bucket is a usage error, never an object that does not exist', async () => {
      const missing = uniqueName('missing')
      for (const [name, run] of everyCall(`s3://${missing}/a`))
        await expect(run(), name).rejects.toMatchObject({
          kind: 'Usage',
          message: expect.stringMatching(
            new RegExp(`^Cannot .* s3://${missing}/a: expected a bucket ${missing}, found none[^\n]*$`),
          ),
        })
    })

    it('a denied call names the right that is missing, and what a denied read may mean besides', async () => {
      for (const command of ['PutObject', 'CreateMultipartUpload', 'GetObject', 'HeadObject', 'DeleteObject', 'ListObjectsV2'])
        faults.before(command, () => serviceError('AccessDenied', 403), { times: 99 })
      const messages: string[] = []
      for (const [name, run] of everyCall(`${base}a`)) {
        const error = await run().then(
          () => new Error(`${name} was not denied`),
          (error) => error,
        )
        expect(error, name).toMatchObject({ kind: 'Usage' })
        messages.push(error.message)
      }
      const put = `Cannot write ${base}a: access denied. Grant s3:PutObject on s3://${bucket}/* to this identity.`
      const get = `Cannot read ${base}a: access denied. Grant s3:GetObject on s3://${bucket}/*, and s3:ListBucket on the bucket, without which S3 says the same of what does not exist, to this identity.`
      expect(messages).toEqual([
        put,
        put,
        get,
        get,
        get,
        get,
        `Cannot delete ${base}a: access denied. Grant s3:DeleteObject on s3://${bucket}/* to this identity.`,
        `Cannot list ${base}a: access denied. Grant s3:ListBucket on bucket ${bucket} to this identity.`,
      ])
    })

    it('a bucket in another region says which', async () => {
      const elsewhere = () =>
        serviceError('PermanentRedirect', 301, 'The bucket you are attempting to access must be addressed elsewhere')
      for (const command of ['PutObject', 'GetObject', 'HeadObject']) faults.before(command, elsewhere, { times: 2 })
      await expect(objects.put(`${base}a`, [])).rejects.toThrow(/lies in another region .* Set AWS_REGION/)
      await expect(objects.get(`${base}a`)).rejects.toMatchObject({ kind: 'Usage' })
      await expect(objects.size(`${base}a`)).rejects.toThrow(/lies in another region/)
    })

    it('an endpoint where nothing answers is Unavailable', async () => {
      const nowhere = openS3Objects({ ...ministack(), endpoint: 'http://127.0.0.1:1' })
      await expect(nowhere.put(`${base}a`, [])).rejects.toThrow(/nothing answers at the endpoint/)
      await expect(nowhere.get(`${base}a`)).rejects.toMatchObject({ kind: 'Unavailable' })
      nowhere.close()
    })

    it('a peer that takes calls and never answers costs the time of the budget, not more', async () => {
      const server = await silentServer()
      const { port } = server.address() as { port: number }
      const budget = { attempts: 2, connectMs: 500, answerMs: 100 }
      const silent = s3Client({ ...ministack(), endpoint: `http://127.0.0.1:${port}` }, budget)
      await expect(openS3Objects({ client: silent }).put(`${base}a`, [text('x')])).rejects.toMatchObject({ kind: 'Unavailable' })
      silent.destroy()
      server.close()
    })
  })

  it('an endpoint set by the environment is addressed by paths, for a bucket has no host there', async () => {
    const { endpoint, region, credentials } = ministack()
    const before = process.env.AWS_ENDPOINT_URL
    process.env.AWS_ENDPOINT_URL = endpoint
    try {
      const fromEnvironment = s3Client({ region, credentials })
      await fromEnvironment.send(new GetBucketLocationCommand({ Bucket: bucket }))
      expect(fromEnvironment.config.forcePathStyle).toBe(true)
      fromEnvironment.destroy()
    } finally {
      if (before === undefined) delete process.env.AWS_ENDPOINT_URL
      else process.env.AWS_ENDPOINT_URL = before
    }
    const real = s3Client({ region, credentials })
    expect(real.config.forcePathStyle).toBe(false)
    real.destroy()
  })
})

async function silentServer(): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.resume()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}
