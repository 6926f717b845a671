import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createSocketServer, type Server } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterEach, describe, expect, it } from 'vitest'
import { REPEATABLE, untilDone } from '../../lib/aws/clients.ts'
import { dynamoClient, openDynamoLog } from '../../lib/aws/dynamo-log.ts'
import { asOurs, asOursAfterSwap, isLater } from '../../lib/aws/errors.ts'
import { refused } from '../../lib/errors.ts'
import { connectionReset, serverError, serviceError, throttled, timedOut } from './faults.ts'
import { REGION } from './services.ts'

const CALL = { doing: 'read x', permission: 'service:Read on x', missing: 'an x' }
const CREDENTIALS = { accessKeyId: 'test', secretAccessKey: 'test' }
const servers: Server[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve))
})

async function listening(server: Server): Promise<string> {
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A service that answers its n-th request with the n-th answer, and all further ones with the last. */
function answering(...answers: readonly { readonly status: number; readonly body: string }[]): Promise<string> {
  let asked = 0
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    await text(request)
    const { status, body } = answers[Math.min(asked++, answers.length - 1)]
    // One connection a request: the server closes as soon as the test is done with it.
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0', connection: 'close' }).end(body)
  }
  return listening(createServer(answer))
}

/** As DynamoDB writes its errors. */
const refusal = (type: string, message: string, status = 400) => ({
  status,
  body: JSON.stringify({ __type: `com.amazon.coral.service#${type}`, message }),
})

async function tailAt(endpoint: string, budget = REPEATABLE) {
  const client = dynamoClient({ endpoint, region: REGION, credentials: CREDENTIALS }, budget)
  try {
    return await openDynamoLog({ table: 't', client }).tail('a')
  } finally {
    client.destroy()
  }
}

describe('what an AWS service answers, over the wire', () => {
  const NOT_AUTHORIZED = 'User: arn:aws:iam::123456789012:user/x is not authorized to perform: dynamodb:Query'
  it.each([
    [
      refusal('AccessDeniedException', NOT_AUTHORIZED),
      'Usage',
      `Cannot read log a in table t: access denied (${NOT_AUTHORIZED}). Grant dynamodb:Query on table t to this identity.`,
    ],
    [
      refusal('UnrecognizedClientException', 'The security token included in the request is invalid.'),
      'Usage',
      'Cannot read log a in table t: expected credentials that AWS accepts, found none or others (UnrecognizedClientException). Set them in the environment.',
    ],
    [
      refusal('InvalidSignatureException', 'The request signature we calculated does not match.'),
      'Usage',
      'Cannot read log a in table t: expected credentials that AWS accepts, found none or others (InvalidSignatureException). Set them in the environment.',
    ],
    [
      refusal('ResourceNotFoundException', 'Requested resource not found'),
      'Usage',
      'Cannot read log a in table t: expected a DynamoDB table t, found none in this region and account. Create it, or check the name and AWS_REGION.',
    ],
    [
      refusal('ValidationException', 'The provided key element does not match the schema'),
      'Usage',
      'Cannot read log a in table t: The provided key element does not match the schema. Check names and configuration.',
    ],
    [
      refusal('InternalServerError', 'Internal\nserver error', 500),
      'Unavailable',
      'Cannot read log a in table t: InternalServerError (500): Internal server error. Try again.',
    ],
    [
      { status: 200, body: '<html>hello</html>' },
      'Unavailable',
      "Cannot read log a in table t: expected AWS's answer, found something else (200). Check AWS_ENDPOINT_URL and proxies.",
    ],
  ] as const)('is one line that says what to do: %j', async (answer, kind, message) => {
    await expect(tailAt(await answering(answer))).rejects.toMatchObject({ kind, message })
  })

  it.each(['TransactionConflictException', 'ThrottlingException', 'InternalServerError'])('%s is asked again', async (name) => {
    const item = { log: { S: 'a' }, slot: { N: '3' }, value: { S: 'v' } }
    const found = { status: 200, body: JSON.stringify({ Items: [item], Count: 1 }) }
    const endpoint = await answering(refusal(name, 'later', name === 'InternalServerError' ? 500 : 400), found)
    expect(await tailAt(endpoint)).toEqual({ slot: 3, value: 'v' })
  })

  it('nobody listens: the message shows the endpoint', async () => {
    const endpoint = await answering({ status: 200, body: '{}' })
    const server = servers.pop()
    await new Promise((resolve) => server?.close(resolve))
    await expect(tailAt(endpoint)).rejects.toMatchObject({
      kind: 'Unavailable',
      message: `Cannot read log a in table t: nothing answers at the endpoint (connect ECONNREFUSED ${endpoint.slice(7)}). Check AWS_ENDPOINT_URL, AWS_REGION and the network.`,
    })
  })

  it('TLS is spoken to a server without: the message says so', async () => {
    const endpoint = await answering({ status: 200, body: '{}' })
    await expect(tailAt(endpoint.replace('http:', 'https:'))).rejects.toThrow(
      /nothing answers at the endpoint \(it speaks no TLS\)/,
    )
  })

  it('a service that is silent is given up after the budget, each try on its own', async () => {
    let connections = 0
    const silent = createSocketServer((socket) => {
      connections++
      socket.resume()
    })
    const endpoint = await listening(silent)
    const budget = { attempts: 2, connectMs: 1000, answerMs: 50 }
    await expect(tailAt(endpoint, budget)).rejects.toMatchObject({
      kind: 'Unavailable',
      message: expect.stringMatching(/TimeoutError: a request has exceeded the configured 50 ms/),
    })
    expect(connections).toBe(2)
  })

  it('a service that hangs up is given up after the budget', async () => {
    let connections = 0
    const hangUp = createSocketServer((socket) => {
      connections++
      socket.destroy()
    })
    await expect(tailAt(await listening(hangUp))).rejects.toMatchObject({ kind: 'Unavailable' })
    expect(connections).toBe(REPEATABLE.attempts)
  })
})

describe('the environment', () => {
  const saved = { ...process.env }
  afterEach(() => {
    process.env = { ...saved }
  })
  /** No region, no credentials, and nowhere to look for them. */
  const bare = (more: NodeJS.ProcessEnv) => {
    for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) delete process.env[name]
    Object.assign(process.env, {
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_CONFIG_FILE: '/dev/null',
      AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
      ...more,
    })
  }

  it('without a region is a usage error that names AWS_REGION', async () => {
    bare({})
    const log = openDynamoLog({ table: 't', credentials: CREDENTIALS })
    await expect(log.tail('a')).rejects.toMatchObject({
      kind: 'Usage',
      message: 'Cannot read log a in table t: expected a region, found none. Set AWS_REGION.',
    })
    log.close()
  })

  it('without credentials is a usage error', async () => {
    bare({ AWS_REGION: REGION })
    const log = openDynamoLog({ table: 't' })
    await expect(log.tail('a')).rejects.toMatchObject({
      kind: 'Usage',
      message: expect.stringContaining('expected credentials that AWS accepts, found none or others (CredentialsProviderError)'),
    })
    log.close()
  })

  it('names region, credentials and endpoint', async () => {
    const endpoint = await answering({ status: 200, body: '{"Items":[],"Count":0}' })
    bare({ AWS_REGION: REGION, AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test', AWS_ENDPOINT_URL: endpoint })
    const log = openDynamoLog({ table: 't' })
    expect(await log.tail('a')).toBeUndefined()
    log.close()
  })
})

describe('an error of the SDK as ours', () => {
  it.each([
    [serviceError('RequestTimeTooSkewed', 403), 'Usage', 'clock'],
    [serviceError('InvalidSignatureException', 400, 'Signature expired: 1 is now earlier than 2'), 'Usage', 'clock'],
    [serviceError('SignatureDoesNotMatch', 403), 'Usage', 'credentials'],
    [
      serviceError('AccessDenied', 403, 'Access Denied'),
      'Usage',
      'Cannot read x: access denied. Grant service:Read on x to this identity.',
    ],
    [serviceError('Unknown', 403, 'UnknownError'), 'Usage', 'Cannot read x: access denied. Grant service:Read on x'],
    [serviceError('PermanentRedirect', 301), 'Usage', 'another region'],
    [serviceError('NoSuchBucket', 404), 'Usage', 'expected an x, found none'],
    [serviceError('EntityNotFoundException'), 'Usage', 'expected an x, found none'],
    [throttled(), 'Unavailable', 'ThrottlingException (400): Rate exceeded. Try again.'],
    [connectionReset(), 'Unavailable', 'socket hang up. Try again.'],
    [timedOut(), 'Unavailable', 'TimeoutError: no answer in time. Try again.'],
    ['a string', 'Unavailable', 'a string'],
  ] as const)('%s is %s and says %s', (error, kind, says) => {
    const ours = asOurs(error, CALL)
    expect(ours.kind).toBe(kind)
    expect(ours.message).toMatch(/^Cannot read x: /)
    expect(ours.message).toContain(says)
    expect(ours.message).not.toContain('\n')
    expect(ours.cause).toBe(error)
  })

  it('that is ours already stays as it is', () => {
    const ours = refused('no')
    expect(asOurs(ours, CALL)).toBe(ours)
  })

  it('that is long is cut: a message is one line of a terminal or a log', () => {
    expect(asOurs(serverError(), CALL).message.length).toBeLessThan(100)
    expect(asOurs(serviceError('X', 500, 'long '.repeat(1000)), CALL).message.length).toBeLessThan(400)
  })

  it('after a swap is unknown, unless the service refused before it did anything', () => {
    expect(asOursAfterSwap(serverError(), CALL).kind).toBe('CommitUnknown')
    expect(asOursAfterSwap(timedOut(), CALL).kind).toBe('CommitUnknown')
    expect(asOursAfterSwap(throttled(), CALL).kind).toBe('Unavailable')
    expect(asOursAfterSwap(serviceError('AccessDeniedException'), CALL).kind).toBe('Usage')
  })

  it('says "later" only of refusals that did nothing', () => {
    expect([throttled(), serviceError('TransactionConflictException'), serviceError('SlowDown', 503)].map(isLater)).toEqual([
      true,
      true,
      true,
    ])
    expect([serverError(), timedOut(), connectionReset(), undefined, 'x'].map(isLater)).toEqual([
      false,
      false,
      false,
      false,
      false,
    ])
  })
})

describe('a batch that leaves work undone', () => {
  it('is called again with what is left, until nothing is', async () => {
    const asked: number[][] = []
    await untilDone('read', [1, 2, 3], async (rest) => {
      asked.push(rest)
      return rest.length > 1 ? rest.slice(1) : undefined
    })
    expect(asked).toEqual([[1, 2, 3], [2, 3], [3]])
  })

  it('is Unavailable after six rounds', async () => {
    let rounds = 0
    const undone = untilDone('read', [1], async (rest) => {
      rounds++
      return rest
    })
    await expect(undone).rejects.toMatchObject({
      kind: 'Unavailable',
      message: expect.stringMatching(/^Cannot read: expected all of it done/),
    })
    expect(rounds).toBe(6)
  })
})
