/**
 * The log of one reliable topic: an append-only file in the Pod's volume. A record is in the file before its message is
 * acknowledged, so kill -9 of the broker loses none. The next process of the same Pod reads the file again, whatever
 * offsets it holds (M13); nothing is ever read from the object store (M4).
 *
 * A *position* counts records in file order from 0. Offsets need not follow it: they may jump (M14) or start over (M9).
 */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, truncateSync, writeSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';

export interface LogRecord {
  readonly offset: bigint;
  readonly messageId: string;
  readonly bytes: number;
}

export interface TopicLog {
  readonly topic: string;
  /** The offset that the next message gets. */
  nextOffset(): bigint;
  /** Position after the last record. */
  end(): number;
  /** Undefined past the end, or when the record is older than what is retained. */
  at(position: number): LogRecord | undefined;
  /** The first position that is still retained. */
  start(): number;
  /** Writes to the file before it returns. @throws Error when the disk refuses. */
  append(messageId: string, bytes: number): LogRecord;
  /** How far the uploader has come; survives the process, unlike the object store's view of it. */
  uploadedTo(): number;
  markUploaded(position: number): Promise<void>;
  /** Deletes the files, too. */
  destroy(): void;
}

interface OpenLog {
  /** Folder of all logs. */
  readonly dir: string;
  /** `/namespace/topic`, valid as a path below `dir` by its alphabet. */
  readonly topic: string;
  readonly nextOffset: bigint;
}

/** Records kept in memory: far more than a demo's backlog. Readers further behind miss some, as with a real retention. */
const RETAINED = 50_000;

interface StoredRecord {
  readonly offset: string;
  readonly messageId: string;
  readonly bytes: number;
}

/** Opens the topic's file, or creates it. @throws Error when the folder cannot be written or a record cannot be read. */
export function openLog({ dir, topic, nextOffset }: OpenLog): TopicLog {
  const file = path.join(dir, `${topic}.ndjson`);
  const checkpoint = path.join(dir, `${topic}.uploaded`);
  mkdirSync(path.dirname(file), { recursive: true });
  const records = readRecords(file);
  const descriptor = openSync(file, 'a');
  let first = 0;
  let next = nextOffset;
  let uploaded = existsSync(checkpoint) ? Number(readFileSync(checkpoint, 'utf8')) : 0;

  function end(): number {
    return first + records.length;
  }

  return {
    topic,
    nextOffset: () => next,
    start: () => first,
    end,
    at: (position) => records[position - first],
    append(messageId, bytes) {
      const record = { offset: next, messageId, bytes };
      writeSync(descriptor, `${JSON.stringify({ offset: next.toString(), messageId, bytes })}\n`);
      records.push(record);
      next += 1n;
      if (records.length > RETAINED * 2) {
        first += RETAINED;
        records.splice(0, RETAINED);
      }
      return record;
    },
    uploadedTo: () => uploaded,
    async markUploaded(position) {
      uploaded = position;
      await writeFile(checkpoint, position.toString());
    },
    destroy() {
      closeSync(descriptor);
      rmSync(file, { force: true });
      rmSync(checkpoint, { force: true });
    },
  };
}

/** A last line without its end was being written when the process was killed: never acknowledged, and cut off. */
function readRecords(file: string): LogRecord[] {
  if (!existsSync(file)) return [];
  const bytes = readFileSync(file);
  const whole = bytes.lastIndexOf('\n') + 1;
  if (whole < bytes.length) truncateSync(file, whole);
  const lines = bytes.toString('utf8', 0, whole).split('\n').slice(0, -1);
  return lines.map((line) => {
    const stored = JSON.parse(line) as StoredRecord;
    return { offset: BigInt(stored.offset), messageId: stored.messageId, bytes: stored.bytes };
  });
}
