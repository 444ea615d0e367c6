import { createInterface } from 'node:readline';
import { BROKER_PORT } from './agent.ts';
import type { Answer, Command } from './broker.ts';
import { type Container, type ContainerOptions, startContainer } from './containers.ts';

export interface Broker {
  readonly container: Container;
  readonly ask: (command: Command) => Promise<Answer>;
}

/** Starts a container whose process listens as a broker does; `command` stands before what it is told to do. */
export async function startBroker(
  options: Omit<ContainerOptions, 'command'> & { readonly port?: number; readonly beside?: readonly string[] },
): Promise<Broker> {
  const { port = BROKER_PORT, beside } = options;
  const broker = ['danube-broker', '/app/broker.mjs', `${port}`];
  const command =
    beside === undefined
      ? broker
      : ['sh', '-c', `${beside.join(' ')} >/dev/null </dev/null & exec ${broker.join(' ')}`];
  const container = startContainer({ ...options, command });
  const lines = createInterface(container.child.stdout)[Symbol.asyncIterator]();
  const next = async (): Promise<Answer> => {
    const line = await lines.next();
    if (line.done) throw new Error('the broker ended');
    return JSON.parse(line.value);
  };
  await next();
  return {
    container,
    ask: (command) => {
      container.child.stdin.write(`${JSON.stringify(command)}\n`);
      return next();
    },
  };
}
