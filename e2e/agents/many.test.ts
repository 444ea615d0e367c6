/** Many agents, one in five of them ill in some way, pulled by one operator: a hundred a second. */
import { beforeAll, describe, expect, it } from 'vitest';
import { type FleetOptions, type PullResult, pullFleet, resultOf } from './fleet.ts';

/** The long runs have as many as a large installation. */
const OPTIONS: FleetOptions =
  process.env.TEST_TIER === 'full'
    ? { agents: 1000, intervalSeconds: 10, intervals: 2 }
    : { agents: 400, intervalSeconds: 4, intervals: 2 };
const WELL = 0.8 * OPTIONS.agents;
const ILL_IN_ONE_WAY = 0.05 * OPTIONS.agents;

let result: PullResult;

beforeAll(async () => {
  result = await pullFleet(OPTIONS);
  const cost = `${result.cpuPercent.toFixed(1)} % of a core, ${result.residentMiB} MiB`;
  process.stderr.write(`pulling ${OPTIONS.agents} agents every ${OPTIONS.intervalSeconds} s takes ${cost}\n`);
});

const of = (kind: Parameters<typeof resultOf>[1]) => resultOf(result, kind, OPTIONS);

describe(`among ${OPTIONS.agents} agents`, () => {
  it('all that are well are heard each time', () => {
    const { agents, problems, reports } = of('good');
    expect(agents).toBe(WELL);
    expect(reports).toBeGreaterThanOrEqual(WELL * OPTIONS.intervals);
    // A machine that stands still for two seconds makes any agent unanswered; being well shows in being heard all the same.
    expect(problems).toBeLessThan(reports);
  });

  it.each(['slow', 'lying'] as const)(
    'those that are %s are waited for and heard: what they say is judged later',
    (kind) => {
      const { agents, problems, reports } = of(kind);
      expect(agents).toBe(ILL_IN_ONE_WAY);
      expect(reports).toBeGreaterThanOrEqual(ILL_IN_ONE_WAY * OPTIONS.intervals);
      expect(problems).toBeLessThan(reports);
    },
  );

  it('those that hang, or answer what unpacks to far more, are given up each time', () => {
    for (const kind of ['hung', 'bomb'] as const) {
      expect(of(kind), kind).toMatchObject({ agents: ILL_IN_ONE_WAY, reports: 0 });
      expect(of(kind).problems, kind).toBeGreaterThanOrEqual(ILL_IN_ONE_WAY * OPTIONS.intervals);
    }
  });
});
