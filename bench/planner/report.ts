/** The benchmark's figures as a page with charts. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { barChart, logChart, rangeChart, stripChart } from './charts.ts';
import type { CostOutcome } from './costs.ts';
import type { RebalancerRun } from './danube-rebalancer.ts';
import {
  type Compared,
  type Growth,
  median,
  type Outcome,
  type RuleOutcome,
  type Seeds,
  type Week,
  type WorkloadOutcome,
} from './measurements.ts';
import { MEASURED } from './pulsar/measured.ts';

export interface Figures {
  readonly firstSeed: number;
  readonly sizes: readonly (Compared & { readonly cruiseControl: number })[];
  readonly million: Outcome & { readonly upperBound: number };
  readonly seeded: readonly Seeds[];
  readonly costs: readonly CostOutcome[];
  readonly growth: Growth;
  readonly danubeRebalancer: RebalancerRun;
  /** On 100 brokers × 10,000 topics. */
  readonly rules: readonly RuleOutcome[];
  readonly workloads: readonly WorkloadOutcome[];
  readonly week: Week;
}

/** Writes `report.md` and its charts into `folder`, which is made if it is missing. */
export function writeReport(folder: string, figures: Figures): void {
  mkdirSync(folder, { recursive: true });
  const charts = {
    'moves.svg': movesChart(figures),
    'balance.svg': balanceChart(figures),
    'growth.svg': growthChart(figures),
    'seeds.svg': seedsChart(figures),
  };
  for (const [name, content] of Object.entries(charts)) writeFileSync(join(folder, name), content);
  writeFileSync(join(folder, 'report.md'), page(figures));
}

function hundred({ sizes }: Figures): Figures['sizes'][number] {
  const found = sizes.find(({ brokers }) => brokers === 100);
  if (found === undefined) throw new Error('the report compares on 100 brokers: measure that size too');
  return found;
}

function movesChart(figures: Figures): string {
  const ours = hundred(figures);
  const rows = [
    { label: 'this planner', isOurs: true, value: ours.moves, note: `${ours.moves}, in the band` },
    { label: 'a plain planner', isOurs: false, value: ours.plainMoves, note: `${ours.plainMoves}, in the band` },
    { label: 'Cruise Control', isOurs: false, value: ours.cruiseControl, note: `${ours.cruiseControl}, in the band` },
    ...figures.rules.map(({ name, moves, max, min }) => ({
      label: name,
      isOurs: false,
      value: moves,
      note: `${moves}, ends at ${max.toFixed(2)} / ${min.toFixed(2)}`,
    })),
  ];
  return barChart('Moves on 100 brokers × 10,000 topics × 4 resources', rows, {
    value: ours.bound,
    label: `bound ${ours.bound}`,
  });
}

function balanceChart(figures: Figures): string {
  const ours = hundred(figures);
  const { danubeRebalancer } = figures;
  const rows = [
    { label: 'this planner', isOurs: true, low: 2 - ours.worst, high: ours.worst },
    ...figures.rules.map(({ name, min, max }) => ({ label: name, isOurs: false, low: min, high: max })),
    {
      label: "Danube's own",
      isOurs: false,
      low: danubeRebalancer.worstMinOverMean,
      high: danubeRebalancer.worstMaxOverMean,
    },
  ];
  return rangeChart('Coldest and hottest broker at the end, of the mean', rows, {
    low: 0.91,
    high: 1.09,
    label: 'band',
  });
}

function growthChart({ growth }: Figures): string {
  const points = growth.points.map(({ topics, milliseconds }) => ({ x: topics, y: milliseconds }));
  const [first] = points;
  if (first === undefined) throw new Error('the report shows growth: measure at least one size');
  const reference = points.map(({ x }) => ({ x, y: (first.y * x * Math.log(x)) / (first.x * Math.log(first.x)) }));
  return logChart(
    'Time to plan, by size',
    points,
    { points: reference, label: 'n log n from the first point' },
    { x: 'topics, 100 on each broker (both axes logarithmic)', y: '# ms' },
  );
}

function seedsChart({ seeded, firstSeed }: Figures): string {
  const rows = seeded.map(({ brokers, topics, ratios }) => ({
    label: `${brokers} × ${topics.toLocaleString('en')}`,
    values: ratios,
    note: `median ${median(ratios).toFixed(2)}, worst ${Math.max(...ratios).toFixed(2)}`,
  }));
  const last = firstSeed + (seeded[0]?.ratios.length ?? 1) - 1;
  return stripChart(
    `Moves over the bound, seeds ${firstSeed} to ${last}`,
    rows,
    'moves / lower bound; 1 = no plan can do with less',
  );
}

function table(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const lines = [header, header.map(() => '---'), ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function page(figures: Figures): string {
  const { sizes, million, week, danubeRebalancer: danube } = figures;
  const ours = hundred(figures);
  const later = week.moves.slice(1);
  return `# The planner, measured

Band ±9 % on every resource of every broker, both sides. Loads and seeds: \`bench/planner/workloads.ts\`. Times are CPU times on one machine:
only ratios within this page mean anything. The bound is what no plan can do with less moves.

## Published clusters

Zipf 0.9, capped at a quarter of a broker's mean, a tenth of the brokers empty, seed 42. Cruise Control: its own goal classes on the same files.

${table(
  [
    'brokers × topics × resources',
    'moves',
    'bound',
    'moves / bound',
    'Cruise Control',
    'plain planner',
    'moved load',
    'ms',
    'plain ms',
    'worst',
  ],
  [
    ...sizes.map((one) => [
      sizeText(one),
      one.moves,
      one.bound,
      (one.moves / one.bound).toFixed(2),
      one.cruiseControl,
      one.plainMoves,
      `${one.movedPercent.toFixed(1)} %`,
      one.milliseconds.toFixed(0),
      one.plainMilliseconds.toFixed(0),
      one.worst.toFixed(4),
    ]),
    [
      sizeText(million),
      million.moves,
      million.upperBound,
      (million.moves / million.upperBound).toFixed(2),
      '-',
      '-',
      `${million.movedPercent.toFixed(1)} %`,
      million.milliseconds.toFixed(0),
      '-',
      million.worst.toFixed(4),
    ],
  ],
)}

![Moves by balancer](moves.svg)

![Moves over the bound](seeds.svg)

![Time by size](growth.svg)

The largest size takes ${figures.growth.ratio.toFixed(2)} of what n log n from the smallest would be.

## Other balancers on the same cluster

100 × 10,000 × 4. Pulsar: models of its rules with perfect and immediate load data, in brackets what its real classes did. It does not see
the disk; balance is of the other three. Danube: a model of the rebalancer of its later versions at its most eager, ten moves an hour.

${table(
  ['balancer', 'moves', 'moved load', 'minutes', 'hottest', 'coldest'],
  [
    [
      'this planner',
      ours.moves,
      `${ours.movedPercent.toFixed(1)} %`,
      'one plan',
      ours.worst.toFixed(2),
      (2 - ours.worst).toFixed(2),
    ],
    ...figures.rules.map((rule) => ruleRow(rule)),
    [
      "Danube's own",
      danube.moves,
      '-',
      (danube.hours * 60).toFixed(0),
      danube.worstMaxOverMean.toFixed(2),
      danube.worstMinOverMean.toFixed(2),
    ],
  ],
)}

![Balance by balancer](balance.svg)

## Workloads

Medians of ${figures.workloads[0]?.seeds ?? 0} seeds from ${figures.firstSeed}. "Over the floor" is the worst max/mean over what can be reached: the edge of the band or, where a topic alone is
above that, its bound.

${table(
  ['workload', 'in the band', 'moves', 'bound', 'moved load', 'ms', 'over the floor', 'what binds, first seed'],
  figures.workloads.map((one) => [
    one.name,
    `${one.inBand} of ${one.seeds}`,
    one.moves,
    one.bound,
    `${one.movedPercent.toFixed(1)} %`,
    one.milliseconds.toFixed(0),
    one.overBound.toFixed(3),
    one.bindingConstraint,
  ]),
)}

## Moves that do not cost the same

Classes: a fifth of the topics is reliable (2), a tenth has one to ten clients (2 to 11). Sums over the seeds; in brackets plans that take every
move for a plain one.

${table(
  ['workload', 'seeds', 'moves', 'cost', 'traffic moved'],
  figures.costs.map(({ name, seeds, heeded, ignored }) => [
    name,
    seeds,
    `${heeded.moves} (${ignored.moves})`,
    `${heeded.cost} (${ignored.cost})`,
    `${heeded.trafficPercent.toFixed(1)} % (${ignored.trafficPercent.toFixed(1)} %)`,
  ]),
)}

## A week

A plan every hour for seven days on ${week.topics.toLocaleString('en')} topics: daily waves in three time zones, a quieter weekend, bursts, 1 % of the topics replaced each hour, 5 % of noise
in the reports, no hysteresis and no limits. The first plan has ${week.moves[0]} moves, the other ${later.length} hours ${median(later)} in the median and ${Math.max(...later)} at most;
${week.hoursInBand} of ${week.moves.length} hours end in the band.
`;
}

function ruleRow({ name, moves, movedPercent, minutes, max, min }: RuleOutcome): readonly (string | number)[] {
  const real = MEASURED.find(({ brokers, rule }) => brokers === 100 && name === `Pulsar: ${rule}`);
  if (real === undefined) return [name, moves, `${movedPercent.toFixed(1)} %`, minutes, max.toFixed(2), min.toFixed(2)];
  const [least, most] = real.moves;
  return [
    name,
    `${moves} (${least === most ? least : `${least} to ${most}`})`,
    `${movedPercent.toFixed(1)} %`,
    `${minutes} (${real.minutes})`,
    `${max.toFixed(2)} (${real.max.toFixed(2)})`,
    `${min.toFixed(2)} (${real.min.toFixed(2)})`,
  ];
}

function sizeText({ brokers, topics, width }: Outcome): string {
  return `${brokers.toLocaleString('en')} × ${topics.toLocaleString('en')} × ${width}`;
}
