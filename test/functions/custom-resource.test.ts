import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterEach, describe, expect, test } from 'vitest'
import { answerTo, type CustomResourceEvent, respondByHttp } from '../../functions/custom-resource.ts'

const EVENT: CustomResourceEvent = {
  RequestType: 'Create',
  ResponseURL: 'https://bucket.s3.amazonaws.com/answer?X-Amz-Signature=secret',
  StackId: 'arn:aws:cloudformation:us-east-1:123456789012:stack/trades/1',
  RequestId: 'request-1',
  LogicalResourceId: 'Tables',
}
const NO_PAUSE_MS = 0

describe('an answer', () => {
  test('names the request it answers, and a physical id of its own', () => {
    expect(answerTo(EVENT, { status: 'SUCCESS', data: { Tables: 'raw: as it was' } })).toEqual({
      Status: 'SUCCESS',
      Reason: '',
      PhysicalResourceId: 'frazil-tables',
      StackId: EVENT.StackId,
      RequestId: 'request-1',
      LogicalResourceId: 'Tables',
      Data: { Tables: 'raw: as it was' },
    })
  })

  test('keeps the physical id it is asked with: another one would have CloudFormation delete what has the old one', () => {
    const event = { ...EVENT, RequestType: 'Update', PhysicalResourceId: 'older' } as const
    expect(answerTo(event, { status: 'FAILED', reason: 'no' })).toMatchObject({ PhysicalResourceId: 'older', Reason: 'no' })
  })

  test.each(['x', 'ä', '𝄞', '"', '\n', '\u0001'])(
    'of texts of any length, of %j, fits what CloudFormation takes, in whole characters',
    (character) => {
      const long = character.repeat(5000)
      const answer = answerTo(EVENT, { status: 'FAILED', reason: long, data: { Tables: long } })
      expect(Buffer.byteLength(JSON.stringify(answer))).toBeLessThanOrEqual(4096)
      for (const cut of [answer.Reason, answer.Data.Tables]) {
        expect(cut.endsWith(`${character}…`)).toBe(true)
        expect(long.startsWith(cut.slice(0, -1))).toBe(true)
        expect(cut.isWellFormed()).toBe(true)
      }
    },
  )

  test('that fits is not cut', () => {
    const reason = 'x'.repeat(1500)
    expect(answerTo(EVENT, { status: 'FAILED', reason }).Reason).toBe(reason)
  })
})

describe('answering by HTTP', () => {
  interface Asked {
    readonly method: string | undefined
    readonly url: string | undefined
    readonly headers: IncomingHttpHeaders
    readonly body: string
  }
  const closing: (() => void)[] = []
  afterEach(() => {
    for (const close of closing.splice(0)) close()
  })

  /** Answers with these statuses, the last one for ever; 0 cuts the connection. */
  async function listening(...statuses: readonly number[]): Promise<{ url: string; asked: Asked[] }> {
    const asked: Asked[] = []
    const server = createServer(async (request, response) => {
      const { method, url, headers } = request
      const status = statuses[Math.min(asked.length, statuses.length - 1)]
      asked.push({ method, url, headers, body: await text(request) })
      if (status === 0) response.destroy()
      else response.writeHead(status).end()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    closing.push(() => {
      server.closeAllConnections()
      server.close()
    })
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/answer?X-Amz-Signature=secret`, asked }
  }
  const answer = answerTo(EVENT, { status: 'SUCCESS' })

  test('puts it as JSON, with the empty content type that the signature covers', async () => {
    const { url, asked } = await listening(200)
    await respondByHttp(url, answer, NO_PAUSE_MS)
    expect(asked).toMatchObject([{ method: 'PUT', url: '/answer?X-Amz-Signature=secret' }])
    expect(asked[0].headers['content-type'] ?? '').toBe('')
    expect(JSON.parse(asked[0].body)).toEqual(answer)
  })

  test('puts the same again when it was not taken, up to three times in all', async () => {
    const { url, asked } = await listening(503, 0, 200)
    await respondByHttp(url, answer, NO_PAUSE_MS)
    expect(asked.map(({ body }) => JSON.parse(body))).toEqual([answer, answer, answer])
  })

  test.each([
    ['a refusal', [403], 'status 403'],
    ['an error', [500], 'status 500'],
    ['connections that are cut', [0], 'UND_ERR_SOCKET'],
  ])('gives up after three tries, for %s, and says why without the address', async (_, statuses, found) => {
    const { url, asked } = await listening(...statuses)
    const error = await respondByHttp(url, answer, NO_PAUSE_MS).catch((caught: Error) => caught)
    expect(String(error)).toBe(`Error: Cannot answer CloudFormation: expected its address to take the answer, found ${found}.`)
    expect(asked.length).toBe(3)
  })

  test.each(['http://127.0.0.1:9/?X-Amz-Signature=secret', 'no address, but a secret', 'https://[secret/'])(
    'never tells the address, nor what lies below its error: %s',
    async (url) => {
      const error = await respondByHttp(url, answer, NO_PAUSE_MS).catch((caught: Error) => caught)
      expect(error).toBeInstanceOf(Error)
      const { message, stack, cause } = error as Error
      expect([message, stack].join()).not.toContain('secret')
      expect(cause).toBeUndefined()
    },
  )
})
