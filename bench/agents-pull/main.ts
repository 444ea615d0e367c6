/**
 * A thousand agents of brokers with a thousand topics each, one in five of them ill, pulled by one operator.
 * `npm run bench:agents -- [--agents 1000] [--interval-seconds 10] [--intervals 6] [--json]`
 */
import { parseArgs } from 'node:util';
import { type FleetOptions, type Kind, type KindResult, pullFleet, resultOf } from '../../e2e/agents/fleet.ts';
import { bar } from '../bars.ts';

const KINDS: readonly Kind[] = ['good', 'slow', 'lying', 'hung', 'bomb'];

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      agents: { type: 'string', default: '1000' },
      'interval-seconds': { type: 'string', default: '10' },
      intervals: { type: 'string', default: '6' },
      json: { type: 'boolean', default: false },
    },
  });
  const options: FleetOptions = {
    agents: Number(values.agents),
    intervalSeconds: Number(values['interval-seconds']),
    intervals: Number(values.intervals),
  };
  if (!Object.values(options).every((value) => Number.isInteger(value) && value >= 1)) {
    throw new Error('--agents, --interval-seconds and --intervals must be whole numbers from 1');
  }
  const result = await pullFleet(options);
  const kinds = KINDS.map((kind) => ({ kind, ...resultOf(result, kind, options) }));
  const missed = kinds[0]?.missed ?? Number.NaN;
  const bars = [bar('reports of well agents missed', missed, 0, '')];
  const figures = { ...options, cpuPercent: Number(result.cpuPercent.toFixed(2)), residentMiB: result.residentMiB };
  process.stdout.write(
    values.json ? `${JSON.stringify({ bars, figures: { ...figures, kinds } })}\n` : toTable(figures, kinds),
  );
}

function toTable(figures: Readonly<Record<string, number>>, kinds: readonly ({ kind: Kind } & KindResult)[]): string {
  const missed = kinds[0]?.missed ?? Number.NaN;
  const lines = [`${missed === 0 ? 'holds ' : 'MISSED'}  reports of well agents missed ${missed} (at most 0)`];
  for (const [name, value] of Object.entries(figures)) lines.push(`        ${name.padEnd(28)} ${value}`);
  lines.push('        agents  reports  missed  problems  latest (ms)');
  for (const { kind, agents, reports, missed: none, problems, latestMs } of kinds) {
    const columns = [agents, reports, none, problems, latestMs].map((value) => String(value).padStart(8)).join('');
    lines.push(`${kind.padEnd(6)}${columns}`);
  }
  return `${lines.join('\n')}\n`;
}

await main();
