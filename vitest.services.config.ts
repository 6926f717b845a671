import { defineConfig } from 'vitest/config'

/** Tests against running services, which the environment names: FRAZIL_TEST_AWS_ENDPOINT and others, see test/aws/services.ts. */
// biome-ignore lint/style/noDefaultExport: vitest asks for one
export default defineConfig({
  test: {
    include: ['test/**/*.services.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
