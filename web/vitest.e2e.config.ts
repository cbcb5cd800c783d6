import { defineConfig } from 'vitest/config';

/** Browser tests: one file after the other, each with a node of its own. */
export default defineConfig({
  test: {
    include: [process.env['SCREENSHOTS'] ? 'e2e/screenshots.ts' : 'e2e/*.test.ts'],
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 60_000,
    // The machine is shared: a browser that is starved for seconds is no fault of the page. What is broken fails twice.
    retry: 1,
  },
});
