/** Runs in the virtual machine: tries the agent, and prints what the agent said beside what the kernel says. Judged outside. */
import { readFileSync } from 'node:fs';
import { measureBesideBroker } from './beside-broker.ts';
import { findEssentials } from './essentials.ts';
import { exceedLimits } from './limits.ts';
import { measureFromOutside, measureWithinBroker } from './other-modes.ts';
import { restartBroker } from './restarts.ts';

export interface Settings {
  readonly suite: keyof Findings;
  /** For how long a process burns CPU where the agent is held to 1 %. */
  readonly burnSeconds: number;
}

/** What the suites find. */
export interface Findings {
  readonly essentials: Awaited<ReturnType<typeof findEssentials>>;
  readonly all: Awaited<ReturnType<typeof findAll>>;
}

/** Two experiments at a time, one for each core of the machine: with more of them, the limits that matter would be its own. */
async function findAll(burnSeconds: number) {
  const [besideBroker, others] = await Promise.all([
    timed('besideBroker', measureBesideBroker(1, burnSeconds)),
    findOthers(),
  ]);
  return { besideBroker, ...others };
}

async function findOthers() {
  const limits = await timed('limits', exceedLimits(2));
  const restarts = await timed('restarts', restartBroker(3));
  const withinBroker = await timed('withinBroker', measureWithinBroker(4));
  const outside = await timed('outside', measureFromOutside(5));
  return { limits, restarts, withinBroker, outside };
}

/** Says on the console when it is done, for whoever waits. */
async function timed<T>(name: string, experiment: Promise<T>): Promise<T> {
  const found = await experiment;
  process.stderr.write(`${name} done ${Math.round(process.uptime())} s after the start\n`);
  return found;
}

const { suite, burnSeconds }: Settings = JSON.parse(readFileSync('/app/settings.json', 'utf8'));
const findings = await (suite === 'all' ? findAll(burnSeconds) : timed('essentials', findEssentials(burnSeconds)));
process.stdout.write(`${JSON.stringify(findings)}\n`);
process.exit();
