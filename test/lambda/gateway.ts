import { createServer, request as forward, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A call of a function to AWS on its way: `before` it reaches the service, or `after` it did and before its answer is told. */
export interface Passing {
  readonly at: 'before' | 'after'
  /** Counts the calls since the last `reset`, from 1. */
  readonly n: number
  /** `DynamoDB.PutItem`, `Glue.UpdateTable`, `S3.PUT`. */
  readonly call: string
}

/** Stands between functions and AWS, so that a test can act at the moment of any call. */
export interface Gateway {
  readonly endpoint: string
  /** Names of the calls since the last `reset`. */
  readonly calls: readonly string[]
  /** Is told of every call twice, and holds it for as long as it likes. */
  onPassing: (passing: Passing) => Promise<void> | void
  /** Forgets calls, and who is told of them. */
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
    const body = await bytesOf(request)
    await gateway.onPassing({ at: 'before', n, call })
    const { expect: _, ...headers } = request.headers
    const answer = await send(request, { ...headers, 'content-length': String(body.length) }, body)
    await gateway.onPassing({ at: 'after', n, call })
    response.writeHead(answer.status, answer.headers).end(answer.body)
  }

  function send(request: IncomingMessage, headers: IncomingHttpHeaders, body: Buffer) {
    return new Promise<{ status: number; headers: IncomingHttpHeaders; body: Buffer }>((resolve, reject) => {
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
    reset() {
      calls = []
      gateway.onPassing = () => {}
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
  return gateway
}

/** `X-Amz-Target: DynamoDB_20120810.PutItem`, `AWSGlue.GetTable`; S3 has none. */
function nameOf({ headers, method }: IncomingMessage): string {
  const target = headers['x-amz-target']
  return typeof target === 'string' ? target.replace(/_\d+\./, '.').replace(/^AWS/, '') : `S3.${method}`
}

async function bytesOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of message) chunks.push(chunk)
  return Buffer.concat(chunks)
}
