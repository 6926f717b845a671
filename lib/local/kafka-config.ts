import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { KafkaConfig } from 'kafkajs'
import { messageOf, usage } from '../errors.ts'

/** How a broker is reached, and who asks: nothing of it for plain text without a login. */
export type KafkaSecurity = Pick<KafkaConfig, 'ssl' | 'sasl'>

const PROTOCOLS = ['PLAINTEXT', 'SSL', 'SASL_PLAINTEXT', 'SASL_SSL'] as const
/** By Kafka's names, the last by that of Amazon MSK's own clients. */
const MECHANISMS = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512', 'AWS_MSK_IAM'] as const

/** Properties that are read, by the names that librdkafka, and for the most part Kafka's own clients, give them. */
const KNOWN = [
  'security.protocol',
  'sasl.mechanism',
  'sasl.username',
  'sasl.password',
  'ssl.ca.location',
  'ssl.certificate.location',
  'ssl.key.location',
  'ssl.key.password',
] as const
type Name = (typeof KNOWN)[number]

/**
 * Reads a file of client properties, `name=value` a line, `#` for comments: a password stands in a file and not on a command
 * line that others see. Files that it names are PEM, relative to it. Throws `Usage` that names a property, never its value.
 */
export function readKafkaConfig(path: string): KafkaSecurity {
  const text = contents('--kafka-config', path).toString()
  const found = new Map<string, string>()
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (/^\s*(?:[#!]|$)/.test(line)) continue
    const [, name, value] = /^\s*([^=\s]+)\s*=\s*(.*?)\s*$/.exec(line) ?? []
    if (name === undefined) throw wrong(path, `line ${i + 1} to be name=value, found another form`)
    if (!KNOWN.some((known) => known === name))
      throw wrong(path, `only ${KNOWN.join(', ')}, found ${isPlainName(name) ? name : 'another name'} in line ${i + 1}`)
    if (found.has(name)) throw wrong(path, `each property once, found ${name} twice`)
    found.set(name, value)
  }
  const get = (name: Name): string | undefined => found.get(name)
  const required = (name: Name, why: string): string => {
    const value = get(name)
    if (!value) throw wrong(path, `${name} for ${why}, found none`)
    return value
  }
  const file = (name: Name, value: string): Buffer => {
    if (!isPlainPath(value)) throw wrong(path, `${name} to be a path of a file in PEM, found another text`)
    return contents(name, resolve(dirname(path), value))
  }
  const oneOf = <T extends string>(name: Name, value: string, allowed: readonly T[]): T => {
    const known = allowed.find((candidate) => candidate === value)
    if (known === undefined) throw wrong(path, `${name} to be ${allowed.join(', ')}, found another`)
    return known
  }

  const protocol = oneOf('security.protocol', required('security.protocol', 'a connection'), PROTOCOLS)
  const isTls = protocol === 'SSL' || protocol === 'SASL_SSL'
  const isSasl = protocol === 'SASL_PLAINTEXT' || protocol === 'SASL_SSL'
  // Set, and without effect, would be believed to have one.
  const idle = [...found.keys()].filter((name) => (name.startsWith('ssl.') && !isTls) || (name.startsWith('sasl.') && !isSasl))
  if (idle.length > 0) throw wrong(path, `no ${idle.join(', ')} with security.protocol ${protocol}`)

  return { ...(isTls && { ssl: tls() }), ...(isSasl && { sasl: login() }) }

  function tls(): Exclude<KafkaConfig['ssl'], undefined> {
    const [ca, certificate, key, passphrase] = [
      get('ssl.ca.location'),
      get('ssl.certificate.location'),
      get('ssl.key.location'),
      get('ssl.key.password'),
    ]
    if ((certificate === undefined) !== (key === undefined))
      throw wrong(path, 'ssl.certificate.location and ssl.key.location together, found one of them')
    return {
      ...(ca !== undefined && { ca: [file('ssl.ca.location', ca)] }),
      ...(certificate !== undefined && { cert: file('ssl.certificate.location', certificate) }),
      ...(key !== undefined && { key: file('ssl.key.location', key) }),
      ...(passphrase !== undefined && { passphrase }),
    }
  }

  function login(): Exclude<KafkaConfig['sasl'], undefined> {
    const name = oneOf('sasl.mechanism', required('sasl.mechanism', protocol), MECHANISMS)
    if (name === 'AWS_MSK_IAM') {
      if (!isTls) throw wrong(path, `security.protocol SASL_SSL with ${name}, found ${protocol}`)
      const idle = [...found.keys()].filter((of) => of === 'sasl.username' || of === 'sasl.password')
      if (idle.length > 0)
        throw wrong(path, `no ${idle.join(', ')} with ${name}: credentials are where the AWS SDK looks for them`)
      return { mechanism: 'oauthbearer', oauthBearerProvider: mskToken }
    }
    const [username, password] = [required('sasl.username', name), required('sasl.password', name)]
    // One object for each mechanism: that is how kafkajs types them apart.
    switch (name) {
      case 'PLAIN':
        return { mechanism: 'plain', username, password }
      case 'SCRAM-SHA-256':
        return { mechanism: 'scram-sha-256', username, password }
      case 'SCRAM-SHA-512':
        return { mechanism: 'scram-sha-512', username, password }
    }
  }
}

/** A login to Amazon MSK by IAM: a request that the caller signed, good for 15 minutes; kafkajs asks again. */
async function mskToken(): Promise<{ value: string }> {
  const region = process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION
  if (!region)
    throw usage('Cannot log in to MSK by IAM: expected AWS_REGION to name the region of the cluster, found none. Set it.')
  const { generateAuthToken } = await import('aws-msk-iam-sasl-signer-js')
  const { token } = await generateAuthToken({ region })
  return { value: token }
}

function contents(what: string, path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (cause) {
    throw usage(`Cannot read ${what}: expected a file at ${path}, found ${messageOf(cause)}. Check the path.`, { cause })
  }
}

function wrong(path: string, expected: string) {
  return usage(`Cannot read Kafka's client properties ${path}: expected ${expected}. Set it right.`)
}

/** How properties are named. With any other sign in it, a name may be a value that was written with another sign than `=`. */
const isPlainName = (name: string): boolean => /^[a-z]+(?:[.-][a-z]+)+$/.test(name)

const MAX_PATH_CHARACTERS = 200

/** False for what may be the key itself, where its file was asked for: an error would show it as a path. */
const isPlainPath = (value: string): boolean =>
  value.length < MAX_PATH_CHARACTERS && !value.includes('\n') && !value.includes('-----')
