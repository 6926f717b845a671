import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/services/**', 'test/**/*.services.test.ts'],
    testTimeout: 60_000,
  },
})
