import { randomInt } from 'node:crypto';
import { expect, it } from 'vitest';
import { runRandomFaults } from './random-faults.ts';
import { useEtcd } from './suite.ts';

const suite = useEtcd();

it('whatever the faults, what was watched is what happened, and what was said of each write is true', async () => {
  const seed = Number(process.env.SEED ?? randomInt(2 ** 31));
  process.stdout.write(`  random faults: SEED=${seed}\n`);

  const result = await runRandomFaults({ suite: suite(), seed, writers: 4, faults: 12, networkOnly: false });

  process.stdout.write(`  ${result.written} writes, ${result.applied} applied, under ${result.faults.join(', ')}\n`);
  expect(result.misreported).toEqual([]);
  expect(result.seen).toEqual(result.history);
  expect(result.applied).toBeGreaterThan(100);
});
