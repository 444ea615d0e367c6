import { startAgent } from './agent.ts';
import { startBroker } from './broker-container.ts';
import { startPod } from './containers.ts';

const BURN_SECONDS = 2;

/** What comes and goes between two samples, as it does when a container restarts. */
export async function restartBroker(number: number) {
  const pod = await startPod(number);
  const options = { pod, processNamespace: 'pod' } as const;
  const first = await startBroker({ ...options, name: 'broker' });
  const agent = startAgent({ pod });
  await agent.after(0);
  await first.ask({ burnSeconds: BURN_SECONDS });
  const before = await agent.after(Date.now());

  const killed = Date.now();
  await first.container.kill();
  const second = await startBroker({ ...options, name: 'broker, restarted' });
  const restarted = Date.now();
  const measured = await agent.after((await agent.after(restarted)).observedAt + 1);
  const sinceRestart = agent.reports.filter(({ observedAt }) => observedAt > killed);

  // The next process with the broker's pid is another container's, which is busy and does not listen where the broker does.
  const pid = measured.broker?.pid ?? 0;
  await second.container.kill();
  const impostor = await startBroker({ ...options, name: 'impostor', pid, port: 7000 });
  const burning = impostor.ask({ burnSeconds: BURN_SECONDS });
  const taken = await agent.after((await agent.after(Date.now())).observedAt + 1);
  await burning;
  await impostor.container.kill();

  // And the next one is the broker again, under the pid that it had.
  const third = await startBroker({ ...options, name: 'broker, once more', pid });
  const back = await agent.after(Date.now());
  const result = { pid, before, restarted: sinceRestart, taken, back };
  await agent.stop();
  await third.container.kill();
  return result;
}
