/** What real 0.7.3 brokers wrote, for tests. Ids in values are beyond 2^53: keep values as text. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

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
}

/** Every key at one moment of the first recording. */
export function recordedSnapshot(): readonly RecordedKey[] {
  return readLines<RecordedKey>('snapshot.ndjson').filter(({ key }) => key !== undefined);
}

/** Boot of three brokers and the life of some topics: `history` is the first recording, `history-2` the second. */
export function recordedEvents(file: 'history' | 'history-2' = 'history'): readonly RecordedEvent[] {
  return readLines<RecordedEvent>(`${file}.ndjson`);
}

function readLines<T>(name: string): readonly T[] {
  return readFileSync(path.join(import.meta.dirname, 'fixtures', name), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T);
}
