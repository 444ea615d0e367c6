import { startAgent, type WatchedAgent, withAllSamples } from './agent.ts';
import { type Broker, startBroker } from './broker-container.ts';
import { startPod } from './containers.ts';

const BURN_SECONDS = 2;

/** What comes and goes between two samples, as it does when a container restarts. */
export async function restartBroker(number: number) {
  const pod = await startPod(number);
  const agent = startAgent({ pod });
  let containers = 0;
  let broker: Broker | undefined;
  const start = (options: { readonly name: string; readonly pid?: number; readonly port?: number }) => {
    containers += 1;
    return startBroker({ pod, processNamespace: 'pod', ...options, name: `${options.name} ${containers}` });
  };

  const restarted = await withAllSamples(async () => {
    await broker?.container.kill();
    broker = await start({ name: 'broker' });
    await broker.ask({ burnSeconds: BURN_SECONDS });
    return restart(broker, agent, async () => {
      broker = await start({ name: 'broker, restarted' });
      return broker;
    });
  });

  // The next process with the broker's pid is another container's, which is busy and does not listen where the broker does.
  const pid = restarted.reports.at(-1)?.broker?.pid ?? 0;
  await broker?.container.kill();
  const impostor = await start({ name: 'impostor', pid, port: 7000 });
  const burning = impostor.ask({ burnSeconds: BURN_SECONDS });
  const taken = await agent.after((await agent.after(Date.now())).observedAt + 1);
  await burning;
  await impostor.container.kill();

  // And the next one is the broker again, under the pid that it had.
  const third = await start({ name: 'broker, once more', pid });
  const back = await agent.after(Date.now());
  await agent.stop();
  await third.container.kill();
  return { pid, ...restarted, taken, back };
}

/** Puts the next broker in the place of one, and waits for two samples of it. */
export async function restart(broker: Broker, agent: WatchedAgent, startNext: () => Promise<Broker>) {
  const before = await agent.after(Date.now());
  await broker.container.kill();
  await startNext();
  await agent.after((await agent.after(Date.now())).observedAt + 1);
  return { before, reports: agent.since(before.observedAt) };
}
