import { configDefaults, defineConfig } from 'vitest/config';

/** Long seeded runs: only `npm run test:full` runs them. */
const LONG = '**/*.full.test.ts';

const unit = { name: 'unit', include: ['src/**/*.test.ts', 'test/**/*.test.ts'], environment: 'node' };
/** Suites start real servers; one at a time keeps two cores honest. */
const e2e = {
  name: 'e2e',
  include: ['e2e/**/*.test.ts'],
  environment: 'node',
  fileParallelism: false,
  testTimeout: 120_000,
  hookTimeout: 1_800_000,
};

const exclude = [...configDefaults.exclude, ...(process.env.TEST_TIER === 'full' ? [] : [LONG])];

export default defineConfig({
  test: { projects: [{ test: { ...unit, exclude } }, { test: { ...e2e, exclude } }] },
});
