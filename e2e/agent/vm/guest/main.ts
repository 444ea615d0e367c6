/** Runs in the virtual machine: tries the agent, and prints what the agent said beside what the kernel says. Judged outside. */
import { readFileSync } from 'node:fs';
import { measureBesideBroker } from './beside-broker.ts';
import { exceedLimits } from './limits.ts';
import { measureApart, measureWithinBroker } from './other-modes.ts';
import { restartBroker } from './restarts.ts';

interface Settings {
  readonly burnSeconds: number;
}

/** Two experiments at a time, one for each core of the machine: with more of them, the limits that matter would be its own. */
async function findAll({ burnSeconds }: Settings) {
  const [besideBroker, others] = await Promise.all([measureBesideBroker(1, burnSeconds), findOthers()]);
  return { besideBroker, ...others };
}

async function findOthers() {
  const limits = await exceedLimits(2);
  const restarts = await restartBroker(3);
  const withinBroker = await measureWithinBroker(4);
  const apart = await measureApart(5);
  return { limits, restarts, withinBroker, apart };
}

export type Findings = Awaited<ReturnType<typeof findAll>>;

const settings: Settings = JSON.parse(readFileSync('/app/settings.json', 'utf8'));
process.stdout.write(`${JSON.stringify(await findAll(settings))}\n`);
process.exit();
