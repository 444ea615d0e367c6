/**
 * A reliable topic's way through storage: which offset it starts at, what is uploaded, how it is sealed and destroyed
 * (contract 5.1, M3, M6, M9, M13, M18). Key by key in the order recorded from the real brokers.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import {
  currentObjectKey,
  cursorKey,
  objectKey,
  parseKey,
  sealedStateKey,
  subscriptionsPrefix,
  topicStoragePrefix,
} from '../../danube/keys.ts';
import {
  decodeSealedState,
  encodeCurrentObject,
  encodeObject,
  encodeSealedState,
  objectId,
} from '../../danube/values.ts';
import type { EtcdPort } from '../../etcd/port.ts';
import { type LogRecord, openLog, type TopicLog } from './log.ts';
import type { Metrics } from './metrics.ts';
import { put, remove } from './write.ts';

export interface Storage {
  /** The topic's log, as this process has it or as its file and `state` say. @throws EtcdError, Error of the disk */
  open(topic: string): Promise<TopicLog>;
  /** Copies to the object store what it lacks. @throws EtcdError, Error of the disk */
  upload(log: TopicLog): Promise<void>;
  /** Uploads all, stops the uploader and writes `state`. @throws EtcdError, Error of the disk */
  seal(log: TopicLog): Promise<void>;
  /** Everything of the topic is gone afterwards: storage keys, cursors, log (M3). @throws EtcdError */
  destroy(log: TopicLog): Promise<void>;
}

interface StorageDependencies {
  readonly etcd: EtcdPort;
  readonly metrics: Metrics;
  readonly brokerId: string;
  /** The Pod's volume. */
  readonly dataDir: string;
  /** Shared by all brokers; lags behind the logs. */
  readonly objectStore: string;
  /** `{R}` of contract 2.2. */
  readonly root: string;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

interface OpenedLog {
  readonly log: TopicLog;
  /** A sealed log that the process takes up again has no uploader any more (M18). */
  sealed: boolean;
  uploading: Promise<void>;
}

export function createStorage(deps: StorageDependencies): Storage {
  const { etcd, metrics, brokerId, root } = deps;
  const opened = new Map<string, OpenedLog>();

  async function firstOffset(topic: string): Promise<bigint> {
    const key = sealedStateKey(root, topic);
    const entry = await etcd.get(key);
    const state = entry && decodeSealedState(entry.value);
    if (!state?.ok || !state.value.sealed) return 0n; // M9
    await remove(etcd, key);
    return state.value.lastCommittedOffset + 1n;
  }

  async function uploadAll(log: TopicLog): Promise<void> {
    for (;;) {
      const from = Math.max(log.uploadedTo(), log.start());
      const batch = consecutive(log, from);
      const first = batch[0];
      const last = batch.at(-1);
      if (!first || !last) return;
      const text = batch.map((record) => `${record.offset} ${record.bytes} ${record.messageId}\n`).join('');
      const object = {
        startOffset: first.offset,
        endOffset: last.offset,
        sizeBytes: text.length,
        createdAt: Math.floor(deps.now() / 1000),
      };
      const folder = path.join(deps.objectStore, topicStoragePrefix(root, log.topic));
      await mkdir(folder, { recursive: true });
      await writeFile(path.join(folder, objectId(object)), text);
      await put(etcd, objectKey(root, log.topic, first.offset), encodeObject(object));
      await put(etcd, currentObjectKey(root, log.topic), encodeCurrentObject(first.offset));
      await log.markUploaded(from + batch.length);
      const labels = { topic: log.topic, provider: 'fs' };
      metrics.add('danube_cloud_upload_objects_total', { ...labels, result: 'ok' });
      metrics.add('danube_cloud_upload_bytes_total', labels, text.length);
    }
  }

  /** One upload of a topic at a time: the next one starts where the last one ended. */
  function upload(log: TopicLog): Promise<void> {
    const one = opened.get(log.topic);
    if (!one || one.sealed) return Promise.resolve();
    // A failed upload was reported to its own caller and is made good by the next.
    one.uploading = one.uploading.catch(() => undefined).then(() => uploadAll(log));
    return one.uploading;
  }

  async function seal(log: TopicLog): Promise<void> {
    await upload(log);
    const one = opened.get(log.topic);
    if (one) one.sealed = true;
    const next = log.nextOffset();
    const state = {
      broker: brokerId,
      // An empty log says 0, as recorded: its next owner starts at 1.
      lastCommittedOffset: next > 0n ? next - 1n : 0n,
      sealed: true,
      timestamp: Math.floor(deps.now() / 1000),
    };
    await put(etcd, sealedStateKey(root, log.topic), encodeSealedState(state));
  }

  return {
    async open(topic) {
      // A process that had the topic before reuses its old log and does not look at `state`, nor delete it (M6).
      const known = opened.get(topic);
      if (known) return known.log;
      const nextOffset = await firstOffset(topic);
      const log = openLog({ dir: path.join(deps.dataDir, 'wal'), topic, nextOffset });
      opened.set(topic, { log, sealed: false, uploading: Promise.resolve() });
      return log;
    },
    upload,
    seal,
    async destroy(log) {
      await seal(log);
      const stored = await etcd.read(topicStoragePrefix(root, log.topic));
      for (const { key } of stored.entries) await remove(etcd, key);
      const subscriptions = await etcd.read(subscriptionsPrefix(log.topic));
      for (const { key } of subscriptions.entries) {
        const parsed = parseKey(key);
        if (parsed.kind === 'cursor') await remove(etcd, cursorKey(log.topic, parsed.subscription));
      }
      opened.delete(log.topic);
      log.destroy();
    },
  };
}

/** Records from `position` on while their offsets follow each other: one object never spans a gap (M14). */
function consecutive(log: TopicLog, position: number): readonly LogRecord[] {
  const batch: LogRecord[] = [];
  for (let record = log.at(position); record; record = log.at(position + batch.length)) {
    const last = batch.at(-1);
    if (last && record.offset !== last.offset + 1n) break;
    batch.push(record);
  }
  return batch;
}
