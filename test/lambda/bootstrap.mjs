// What Lambda runs in an instance: asks the runtime API for calls, and runs the handler, one call at a time.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
import http from 'node:http'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const { AWS_LAMBDA_RUNTIME_API, LAMBDA_TASK_ROOT, _HANDLER } = process.env
const [host, port] = AWS_LAMBDA_RUNTIME_API.split(':')
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })

/** Bodies are whole; a request for the next call waits for as long as there is none. */
function request(method, path, body = '', headers = {}) {
  return new Promise((resolve, reject) => {
    const asked = http.request({ host, port, method, agent, path: `/2018-06-01/runtime/${path}`, headers }, (answer) => {
      const chunks = []
      answer.on('data', (chunk) => chunks.push(chunk))
      answer.on('end', () => resolve({ headers: answer.headers, body: Buffer.concat(chunks) }))
      answer.on('error', reject)
    })
    asked.on('error', reject)
    asked.end(body)
  })
}

function postError(path, error) {
  const { name, message, stack } = error instanceof Error ? error : { name: typeof error, message: String(error), stack: '' }
  const body = JSON.stringify({ errorType: name, errorMessage: message, trace: stack.split('\n') })
  return request('POST', path, body, { 'Lambda-Runtime-Function-Error-Type': name })
}

async function initialise() {
  try {
    const [file, name] = _HANDLER.split('.')
    const module = await import(pathToFileURL(join(LAMBDA_TASK_ROOT, `${file}.mjs`)).href)
    return module[name]
  } catch (error) {
    await postError('init/error', error)
    process.exit(1)
  }
}

const handler = await initialise()
for (;;) {
  const { headers, body } = await request('GET', 'invocation/next')
  const awsRequestId = headers['lambda-runtime-aws-request-id']
  const deadlineMs = Number(headers['lambda-runtime-deadline-ms'])
  const context = {
    awsRequestId,
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    getRemainingTimeInMillis: () => deadlineMs - Date.now(),
  }
  let result
  try {
    result = JSON.stringify((await handler(JSON.parse(body), context)) ?? null)
  } catch (error) {
    await postError(`invocation/${awsRequestId}/error`, error)
    continue
  }
  await request('POST', `invocation/${awsRequestId}/response`, result)
}
