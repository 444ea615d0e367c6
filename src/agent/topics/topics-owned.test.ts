import { describe, expect, it } from 'vitest';
import type { Problem } from '../../api/problem.ts';
import { readFixture } from './fixtures.ts';
import { readTopicsOwned } from './topics-owned.ts';

/** Asks an endpoint that answers with these pieces, and how many of them were taken. */
async function ask(pieces: readonly string[], problem: Problem | null = null): Promise<[number | Problem, number]> {
  let taken = 0;
  const topics = await readTopicsOwned(async (onChunk) => {
    for (const piece of pieces) {
      taken += 1;
      if (onChunk(Buffer.from(piece)) === 'stop') return null;
    }
    return problem;
  });
  return [topics, taken];
}

describe('how many topics the broker serves', () => {
  it('is what its gauge says', async () => {
    expect(await ask([readFixture('metrics-busy')])).toEqual([10, 1]);
    expect(await ask([readFixture('metrics-quiet')])).toEqual([9, 1]);
  });

  it('is known before the rest has been read', async () => {
    expect(await ask(['a 1\ndanube_broker_topics_owned{broker="1"} 0\n', 'b 2\n'])).toEqual([0, 1]);
  });

  it('is unknown when the gauge is not there, was cut off, or is no number of topics', async () => {
    const absent = { problem: expect.stringContaining('no danube_broker_topics_owned') };

    expect(await ask(['danube_broker_topics_owned{broker="1"} 1'])).toEqual([absent, 1]);
    expect(await ask(['danube_broker_topics_owned{broker="1"} NaN\n'])).toEqual([absent, 1]);
    expect(await ask(['danube_broker_topics_owned{broker="1"} 0.5\n'])).toEqual([absent, 1]);
  });

  it('is unknown when the endpoint does not answer', async () => {
    expect(await ask([], { problem: 'connect ECONNREFUSED' })).toEqual([{ problem: 'connect ECONNREFUSED' }, 0]);
  });
});
