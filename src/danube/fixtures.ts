/** What real 0.7.3 brokers wrote, for tests. Ids in values are beyond 2^53: keep values as text. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';

export interface RecordedKey {
  readonly key: string;
  readonly value: string;
}

/** One event; several may share a revision. */
export interface RecordedEvent {
  readonly rev: number;
  readonly type: 'PUT' | 'DELETE';
  readonly key: string;
  /** Of a PUT. */
  readonly value?: string;
  /** Id of the key's lease, in decimal. */
  readonly lease?: string;
}

/** Every key at one moment of the first recording. */
export function recordedSnapshot(): readonly RecordedKey[] {
  return parseLines<RecordedKey>(readFixture('snapshot.ndjson').toString('utf8')).filter(
    ({ key }) => key !== undefined,
  );
}

/** Every event of a cluster's life, from its first revision: `history` is the first recording, `history-2` the second. */
export function recordedEvents(file: 'history' | 'history-2' = 'history'): readonly RecordedEvent[] {
  return parseLines<RecordedEvent>(gunzipSync(readFixture(`${file}.ndjson.gz`)).toString('utf8'));
}

function readFixture(name: string): Buffer {
  return readFileSync(path.join(import.meta.dirname, 'fixtures', name));
}

function parseLines<T>(text: string): readonly T[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T);
}
