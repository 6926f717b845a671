import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test, vi } from 'vitest'
import { readKafkaConfig } from '../../lib/local/kafka-config.ts'

const dir = mkdtempSync(join(tmpdir(), 'frazil-kafka-config-'))
mkdirSync(join(dir, 'tls'))
writeFileSync(join(dir, 'tls/ca.pem'), 'authority')
writeFileSync(join(dir, 'tls/client.pem'), 'certificate')
writeFileSync(join(dir, 'tls/client.key'), 'key')
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const path = join(dir, 'client.properties')
const WITH_KEY = 'security.protocol=SSL\nssl.certificate.location=tls/client.pem\nssl.key.location='
function read(text: string) {
  writeFileSync(path, text)
  return readKafkaConfig(path)
}

test('a login over TLS is read, comments and spaces aside, and a password keeps its own = and #', () => {
  const text =
    '# ours\n\n! too\r\nsecurity.protocol = SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\r\nsasl.username=me\nsasl.password=a=b#c\n'
  expect(read(text)).toEqual({ ssl: {}, sasl: { mechanism: 'scram-sha-512', username: 'me', password: 'a=b#c' } })
})

test("a client's certificate and an authority are files beside the properties", () => {
  const text = `security.protocol=SSL
ssl.ca.location=tls/ca.pem
ssl.certificate.location=tls/client.pem
ssl.key.location=tls/client.key
ssl.key.password=secret`
  const bytes = (of: string) => Buffer.from(of)
  expect(read(text)).toEqual({
    ssl: { ca: [bytes('authority')], cert: bytes('certificate'), key: bytes('key'), passphrase: 'secret' },
  })
})

test('plain text with and without a login is what the file says', () => {
  expect(read('security.protocol=PLAINTEXT')).toEqual({})
  expect(read('security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=u\nsasl.password=p')).toEqual({
    sasl: { mechanism: 'plain', username: 'u', password: 'p' },
  })
})

test('a login to MSK by IAM is a request signed by the credentials that the AWS SDK finds', async () => {
  const { ssl, sasl } = read('security.protocol=SASL_SSL\nsasl.mechanism=AWS_MSK_IAM')
  expect(ssl).toEqual({})
  if (sasl === undefined || !('oauthBearerProvider' in sasl)) throw new Error('expected a bearer of tokens')
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIAEXAMPLE')
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret')
  vi.stubEnv('AWS_SESSION_TOKEN', undefined)
  vi.stubEnv('AWS_REGION', 'eu-central-1')
  const { value } = await sasl.oauthBearerProvider()
  const url = new URL(Buffer.from(value, 'base64url').toString())
  expect(url.host).toBe('kafka.eu-central-1.amazonaws.com')
  expect(url.searchParams.get('Action')).toBe('kafka-cluster:Connect')
  expect(url.searchParams.get('X-Amz-Credential')).toMatch(/^AKIAEXAMPLE\/\d{8}\/eu-central-1\/kafka-cluster\/aws4_request$/)
  expect(url.searchParams.get('X-Amz-Signature')).toMatch(/^[0-9a-f]{64}$/)
  vi.stubEnv('AWS_REGION', undefined)
  vi.stubEnv('AWS_DEFAULT_REGION', undefined)
  await expect(sasl.oauthBearerProvider()).rejects.toThrow('expected AWS_REGION')
  vi.unstubAllEnvs()
})

test.each([
  ['nothing', '', 'security.protocol for a connection, found none'],
  ['a protocol that is none', 'security.protocol=TLS', 'security.protocol to be PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL'],
  ['a line of another form', 'security.protocol=SSL\nhello', 'line 2 to be name=value'],
  ['an unknown property', 'security.protocol=SSL\nssl.truststore.location=x', 'found ssl.truststore.location'],
  ['a property twice', 'security.protocol=SSL\nsecurity.protocol=SSL', 'found security.protocol twice'],
  ['a login without a password', 'security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.username=u', 'sasl.password for PLAIN'],
  ['a mechanism that it does not know', 'security.protocol=SASL_SSL\nsasl.mechanism=GSSAPI', 'sasl.mechanism to be PLAIN'],
  ['a certificate without its key', 'security.protocol=SSL\nssl.certificate.location=tls/client.pem', 'together, found one'],
  [
    'a password where IAM decides',
    'security.protocol=SASL_SSL\nsasl.mechanism=AWS_MSK_IAM\nsasl.password=p',
    'no sasl.password with AWS_MSK_IAM',
  ],
  ['IAM in plain text', 'security.protocol=SASL_PLAINTEXT\nsasl.mechanism=AWS_MSK_IAM', 'SASL_SSL with AWS_MSK_IAM'],
  ['a file that is not there', 'security.protocol=SSL\nssl.ca.location=gone.pem', 'Cannot read ssl.ca.location'],
  ['a login that would have no effect', 'security.protocol=SSL\nsasl.username=u', 'no sasl.username with security.protocol SSL'],
])('%s is refused by name', (_, text, message) => {
  expect(() => read(text)).toThrow(expect.objectContaining({ kind: 'Usage', message: expect.stringContaining(message) }))
})

test.each([
  ['a line of another form', 'sasl.password hunter2', 'line 1'],
  ['a value that is none of those known', 'security.protocol=hunter2', 'security.protocol'],
  ['a password without effect', 'security.protocol=SSL\nsasl.password=hunter2', 'sasl.password'],
  ['a password after a colon, with = in it', 'security.protocol=SSL\nsasl.password:hunter2=secret', 'line 2'],
  ['letters after a colon', '# ours\nsasl.password:hunter=2', 'line 2'],
  ['a name that is one word, as a line of a key may be', 'hunter==', 'line 1'],
  ['a key where its file is asked for', `${WITH_KEY}-----BEGIN PRIVATE KEY-----\\nhunter2\\n`, 'ssl.key.location'],
  ['a key without its frame', `${WITH_KEY}${'hunter2/'.repeat(40)}`, 'ssl.key.location'],
])('what is refused is never shown, for it may be a password: %s', (_, text, named) => {
  const error = thrownBy(() => read(text))
  expect(error.message).toContain(named)
  expect(error).toMatchObject({ kind: 'Usage' })
  for (const shown of [error.message, error.stack, String(error.cause)]) expect(shown).not.toContain('hunter')
})

/** The error of a call that must fail. */
function thrownBy(call: () => unknown): Error {
  try {
    call()
  } catch (error) {
    if (error instanceof Error) return error
  }
  throw new Error('expected an error to be thrown')
}
