/** A thousand agents, one in five of them ill in some way, pulled by one operator every ten seconds. */
import { beforeAll, describe, expect, it } from 'vitest';
import { type FleetOptions, type PullResult, pullFleet, resultOf } from './fleet.ts';

const OPTIONS: FleetOptions = { agents: 1000, intervalSeconds: 10, intervals: 2 };

let result: PullResult;

beforeAll(async () => {
  result = await pullFleet(OPTIONS);
  const cost = `${result.cpuPercent.toFixed(1)} % of a core, ${result.residentMiB} MiB`;
  process.stderr.write(`pulling ${OPTIONS.agents} agents every ${OPTIONS.intervalSeconds} s takes ${cost}\n`);
});

const of = (kind: Parameters<typeof resultOf>[1]) => resultOf(result, kind, OPTIONS);

describe('among a thousand agents', () => {
  it('every report of those that are well comes in its interval', () => {
    expect(of('good')).toMatchObject({ agents: 800, missed: 0, problems: 0 });
  });

  it('those that are slow are waited for, and those that lie are heard: what they say is judged later', () => {
    expect(of('slow')).toMatchObject({ agents: 50, missed: 0, problems: 0 });
    expect(of('lying')).toMatchObject({ agents: 50, missed: 0, problems: 0 });
  });

  it('those that hang, or answer what unpacks to far more, are given up each time', () => {
    for (const kind of ['hung', 'bomb'] as const) {
      expect(of(kind), kind).toMatchObject({ agents: 50, reports: 0 });
      expect(of(kind).problems, kind).toBeGreaterThanOrEqual(50 * OPTIONS.intervals);
    }
  });
});
