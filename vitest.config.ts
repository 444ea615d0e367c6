import { configDefaults, defineConfig } from 'vitest/config';

/** Long seeded runs: only `npm run test:full` runs them. */
const LONG = '**/*.full.test.ts';

/** No test is about how fast a machine is: these only end what hangs. */
const unit = {
  name: 'unit',
  include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
  environment: 'node',
  testTimeout: 60_000,
  hookTimeout: 60_000,
};
/** Suites start real servers, each its own; they wait most of the time, so two at a time fit two cores. */
const e2e = {
  name: 'e2e',
  include: ['e2e/**/*.test.ts'],
  environment: 'node',
  maxWorkers: 2,
  testTimeout: 300_000,
  hookTimeout: 1_800_000,
};

const exclude = [...configDefaults.exclude, ...(process.env.TEST_TIER === 'full' ? [] : [LONG])];

export default defineConfig({
  test: { projects: [{ test: { ...unit, exclude } }, { test: { ...e2e, exclude } }] },
});
