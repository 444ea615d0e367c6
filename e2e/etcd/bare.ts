/** The bare `etcd3` client, as anybody would use it: the suites first show what it does under each fault. */
import { Etcd3, type IOptions, type Watcher } from 'etcd3';

/** The options that its documentation suggests: deadlines and keepalive. */
export const CAREFUL: Partial<IOptions> = {
  grpcOptions: { 'grpc.keepalive_time_ms': 3_000, 'grpc.keepalive_timeout_ms': 2_000 },
  defaultCallOptions: ({ isStream }) => (isStream ? {} : { deadline: Date.now() + 2_000 }),
};

export interface BareWatch {
  /** `revision key` of every event, in the order in which they came. */
  readonly seen: readonly string[];
  readonly errors: readonly Error[];
  readonly watcher: Watcher;
}

export async function bareWatch(client: Etcd3, prefix: string, from: number): Promise<BareWatch> {
  const seen: string[] = [];
  const errors: Error[] = [];
  const watcher = await client.watch().prefix(prefix).startRevision(String(from)).create();
  watcher.on('data', ({ events }) => {
    for (const { kv } of events) seen.push(`${kv.mod_revision} ${kv.key.toString()}`);
  });
  watcher.on('error', (error) => errors.push(error));
  return { seen, errors, watcher };
}

/** What etcd itself says has happened under `prefix` from revision `from` to `to`: `revision key` each. */
export async function historyOf(endpoint: string, prefix: string, from: number, to: number): Promise<string[]> {
  // Beyond the default of 4 MiB, its watcher starts again for ever, without a word.
  const client = new Etcd3({ hosts: endpoint, grpcOptions: { 'grpc.max_receive_message_length': -1 } });
  const { seen, watcher } = await bareWatchFromStart(client, prefix, from, to);
  await watcher.cancel();
  client.close();
  return seen;
}

/** Nothing breaks this connection, so that the library's own watcher may be trusted for once. */
async function bareWatchFromStart(client: Etcd3, prefix: string, from: number, to: number) {
  const seen: string[] = [];
  const watcher = client.watch().prefix('').startRevision(String(from)).watcher();
  await new Promise<void>((resolve, reject) => {
    watcher.on('error', reject);
    watcher.on('data', ({ events }) => {
      for (const { kv } of events) {
        const revision = Number(kv.mod_revision);
        const key = kv.key.toString();
        if (revision <= to && key.startsWith(prefix)) seen.push(`${revision} ${key}`);
        if (revision >= to) resolve();
      }
    });
  });
  return { seen, watcher };
}
