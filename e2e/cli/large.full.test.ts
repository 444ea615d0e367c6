/** A snapshot of a million topics through the command, as large as it gets. */
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { skewedCluster } from '../../bench/planner/workloads.ts';
import type { PlannerInput } from '../../src/core/planner/input.ts';
import { runCommand } from './command.ts';

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'plan-'));
});

afterAll(() => rmSync(folder, { recursive: true }));

const LINES_PER_BLOCK = 10_000;

function* snapshotBlocks({ resources, brokers, topics, capacity, loads, owner }: PlannerInput): Generator<string> {
  const width = resources.length;
  const row = (values: Float64Array, at: number) => [...values.subarray(at * width, at * width + width)];
  const described = brokers.map((id, index) => ({ id, capacity: row(capacity, index) }));
  yield `${JSON.stringify({ kind: 'ClusterSnapshot', version: 1, resources, brokers: described })}\n`;
  for (let from = 0; from < topics.length; from += LINES_PER_BLOCK) {
    const lines = topics.slice(from, from + LINES_PER_BLOCK).map((topic, offset) => {
      const index = from + offset;
      return JSON.stringify({ topic, broker: brokers[owner[index] ?? 0], load: row(loads, index) });
    });
    yield `${lines.join('\n')}\n`;
  }
}

it('a million topics on a thousand brokers are planned within 700 MiB', async () => {
  const path = join(folder, 'million.ndjson.gz');
  await pipeline(
    Readable.from(snapshotBlocks(skewedCluster(1_000, 1_000_000, 5, 42)), { objectMode: false }),
    createGzip({ level: 1 }),
    createWriteStream(path),
  );

  const { exitCode, out, largestMemoryMiB } = await runCommand(['plan', '--snapshot', path, '-o', 'json'], { folder });

  const { loadMs, planMs, moves, bounds, inBand } = JSON.parse(out);
  process.stdout.write(
    `read in ${loadMs} ms, planned in ${planMs} ms, ${moves.length} moves of at least ${bounds.moves}, ${Math.round(largestMemoryMiB)} MiB\n`,
  );
  expect({ exitCode, inBand }).toEqual({ exitCode: 0, inBand: true });
  expect(moves.length).toBeLessThanOrEqual(1.4 * bounds.moves);
  expect(largestMemoryMiB).toBeLessThan(700);
}, 600_000);
