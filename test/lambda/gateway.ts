import { createServer, request as forward, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A call of a function to AWS on its way: `before` it reaches the service, or `after` it did and before its answer is told. */
export interface Passing {
  readonly at: 'before' | 'after'
  /** Counts the calls since the last `reset`, from 1. */
  readonly n: number
  /** `DynamoDB.PutItem`, `Glue.UpdateTable`, `S3.PutObject`. */
  readonly call: string
  /** Tries of the same call have the same: the SDK's `amz-sdk-invocation-id`. */
  readonly id: string
  /** How often the SDK tries this call at most, as it says itself. */
  readonly maxTries: number
  /** Resolves when the caller has its answer, or has given up. */
  readonly gone: Promise<void>
}

/** What a caller gets instead; `reset`: its connection is gone, and no answer comes. */
export type Instead = Answer | 'reset'

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** Stands between functions and AWS, so that a test can act at the moment of any call. */
export interface Gateway {
  readonly endpoint: string
  /** Names of the calls since the last `reset`. */
  readonly calls: readonly string[]
  /** Is told of every call twice, and holds it for as long as it likes. */
  onPassing: (passing: Passing) => Promise<void> | void
  /** Is asked of every call twice as well: an answer ends its passage, undefined lets it go on. */
  divert: (passing: Passing) => Promise<Instead | undefined>
  /** Forgets calls, who is told of them, and who diverts them. */
  reset(): void
  close(): Promise<void>
}

export async function openGateway(service: string): Promise<Gateway> {
  const { hostname, port } = new URL(service)
  let calls: string[] = []
  const server = createServer((request, response) => {
    // A process that was killed takes its connections with it.
    pass(request, response).catch(() => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

  async function pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const call = nameOf(request)
    const n = calls.push(call)
    const gone = new Promise<void>((resolve) => response.on('close', resolve))
    const passing = { n, call, gone, ...triesOf(request) }
    const body = await bytesOf(request)
    await gateway.onPassing({ ...passing, at: 'before' })
    const early = await gateway.divert({ ...passing, at: 'before' })
    if (early !== undefined) return answerWith(response, early)
    const { expect: _, ...headers } = request.headers
    const answer = await send(request, { ...headers, 'content-length': String(body.length) }, body)
    await gateway.onPassing({ ...passing, at: 'after' })
    answerWith(response, (await gateway.divert({ ...passing, at: 'after' })) ?? answer)
  }

  function answerWith(response: ServerResponse, answer: Instead): void {
    if (answer === 'reset') response.destroy()
    else response.writeHead(answer.status, answer.headers).end(answer.body)
  }

  function send(request: IncomingMessage, headers: IncomingHttpHeaders, body: Buffer) {
    return new Promise<Answer>((resolve, reject) => {
      const { method, url: path } = request
      const sent = forward({ hostname, port, method, path, headers }, (answer) => {
        bytesOf(answer).then((bytes) => {
          const { 'transfer-encoding': _, ...rest } = answer.headers
          resolve({ status: answer.statusCode ?? 500, headers: rest, body: bytes })
        }, reject)
      })
      sent.on('error', reject)
      sent.end(body)
    })
  }

  const gateway: Gateway = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get calls() {
      return calls
    },
    onPassing: () => {},
    divert: async () => undefined,
    reset() {
      calls = []
      gateway.onPassing = () => {}
      gateway.divert = async () => undefined
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
  return gateway
}

/** `X-Amz-Target: DynamoDB_20120810.PutItem`, `AWSGlue.GetTable`; S3 has none, and is told by method and query. */
function nameOf({ headers, method = '', url = '' }: IncomingMessage): string {
  const target = headers['x-amz-target']
  if (typeof target === 'string') return target.replace(/_\d+\./, '.').replace(/^AWS/, '')
  const query = new URL(url, 'http://s3').searchParams
  if (query.has('uploads')) return 'S3.CreateMultipartUpload'
  if (query.has('uploadId'))
    return `S3.${{ PUT: 'UploadPart', POST: 'CompleteMultipartUpload', DELETE: 'AbortMultipartUpload' }[method]}`
  if (query.has('list-type')) return 'S3.ListObjectsV2'
  return `S3.${{ PUT: 'PutObject', GET: 'GetObject', HEAD: 'HeadObject', DELETE: 'DeleteObject' }[method] ?? method}`
}

/** `amz-sdk-request: attempt=1; max=4`. */
function triesOf({ headers }: IncomingMessage): Pick<Passing, 'id' | 'maxTries'> {
  const [, max] = /max=(\d+)/.exec(String(headers['amz-sdk-request'])) ?? []
  return { id: String(headers['amz-sdk-invocation-id']), maxTries: Number(max) }
}

async function bytesOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of message) chunks.push(chunk)
  return Buffer.concat(chunks)
}
