/**
 * A broker's LocalCache: a copy of the shared metadata that lookups are answered from, a little behind etcd. Like the real
 * one it drops values that are not JSON (contract 2.1) and follows etcd for as long as the process lives.
 */
import type { Logger } from 'pino';
import { parseJson } from '../../danube/json.ts';
import type { Entry, EtcdPort } from '../../etcd/port.ts';

export interface MetadataCache {
  get(key: string): string | undefined;
  /** Every key below `/cluster/`, in no particular order. */
  clusterKeys(): IterableIterator<string>;
  /** The first defined result of `look`, asked again after every change; undefined when `timeoutMs` are over. */
  until<T>(look: () => T | undefined, timeoutMs: number): Promise<T | undefined>;
}

interface CacheDependencies {
  readonly etcd: EtcdPort;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

const CLUSTER = '/cluster/';
const PREFIXES: readonly string[] = [CLUSTER, '/namespaces/', '/topics/'];

/** Resolves when everything has been read once. @throws EtcdError */
export async function startCache({ etcd, log, signal }: CacheDependencies): Promise<MetadataCache> {
  const parts = new Map(PREFIXES.map((prefix) => [prefix, new Map<string, string>()]));
  const waiting = new Set<() => void>();

  function partOf(key: string): Map<string, string> | undefined {
    return parts.get(key.slice(0, key.indexOf('/', 1) + 1));
  }

  function set(entry: Entry): void {
    const text = entry.value.toString('utf8');
    if (isJson(text)) partOf(entry.key)?.set(entry.key, text);
    else partOf(entry.key)?.delete(entry.key);
  }

  /** Reads everything and returns the revision to follow from. */
  async function load(prefix: string): Promise<number> {
    const { revision, entries } = await etcd.read(prefix);
    parts.get(prefix)?.clear();
    for (const entry of entries) set(entry);
    return revision + 1;
  }

  async function follow(prefix: string, from: number): Promise<void> {
    let next = from;
    while (!signal.aborted) {
      for await (const message of etcd.watch(prefix, next, signal)) {
        if (message.kind === 'events') {
          for (const { type, entry } of message.events) {
            if (type === 'put') set(entry);
            else partOf(entry.key)?.delete(entry.key);
          }
          for (const wake of [...waiting]) wake();
        } else log.warn({ prefix, watch: message.kind }, 'cache behind');
      }
      if (!signal.aborted) next = await load(prefix);
    }
  }

  for (const prefix of PREFIXES) {
    const next = await load(prefix);
    follow(prefix, next).catch((error: unknown) => log.error({ prefix, err: error }, 'cache stopped'));
  }

  return {
    get: (key) => partOf(key)?.get(key),
    clusterKeys: () => (parts.get(CLUSTER) ?? new Map<string, string>()).keys(),
    until(look, timeoutMs) {
      const now = look();
      if (now !== undefined) return Promise.resolve(now);
      return new Promise((resolve) => {
        function settle(result: ReturnType<typeof look>): void {
          clearTimeout(timer);
          waiting.delete(wake);
          resolve(result);
        }
        function wake(): void {
          const result = look();
          if (result !== undefined) settle(result);
        }
        const timer = setTimeout(() => settle(undefined), timeoutMs);
        waiting.add(wake);
      });
    },
  };
}

function isJson(text: string): boolean {
  try {
    parseJson(text);
    return true;
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
}
