import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/services/**', 'test/**/*.services.test.ts'],
    testTimeout: 60_000,
    // Most of the time goes into child processes, so a worker more than the cores less one is well used.
    maxWorkers: 2,
  },
})
