import { test } from 'vitest'
import { ministack } from '../aws/services.ts'
import { checkout, follow } from './session.ts'

const dir = checkout()

test('a reader who tries docs/how-to/run-against-aws.md against an emulator gets what it says', () => {
  const { endpoint, region } = ministack()
  return follow(dir, 'docs/how-to/run-against-aws.md', 'sh aws', {
    AWS_ENDPOINT_URL: endpoint,
    AWS_REGION: region,
    // An account of its own: ministack takes a key of twelve digits for one.
    AWS_ACCESS_KEY_ID: String(Date.now()).slice(-12),
    AWS_SECRET_ACCESS_KEY: 'test',
    AWS_EC2_METADATA_DISABLED: 'true',
  })
})
