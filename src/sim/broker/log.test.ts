import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLog, type TopicLog } from './log.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'topic-log-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

function open(nextOffset: bigint): TopicLog {
  return openLog({ dir, topic: '/default/t', nextOffset });
}
function offsets(log: TopicLog): readonly bigint[] {
  return Array.from({ length: log.end() - log.start() }, (_, at) => log.at(log.start() + at)?.offset ?? -1n);
}

describe('the log of a reliable topic', () => {
  it('has a message in the file before its offset is known to anybody', () => {
    const log = open(0n);

    const { offset } = log.append('m1', 10);

    expect(offset).toBe(0n);
    expect(readFileSync(path.join(dir, 'default/t.ndjson'), 'utf8')).toBe(
      '{"offset":"0","messageId":"m1","bytes":10}\n',
    );
  });

  it('is read again by the next process, whose offsets go on where it is told to, not where the file ends', () => {
    const first = open(0n);
    for (const id of ['m1', 'm2', 'm3']) first.append(id, 1);

    const next = open(1n);
    next.append('m4', 1);

    expect(offsets(next)).toEqual([0n, 1n, 2n, 1n]);
    expect(next.nextOffset()).toBe(2n);
  });

  it('keeps offsets beyond 2^53 exact', () => {
    open(2n ** 63n).append('m1', 1);

    expect(offsets(open(0n))).toEqual([2n ** 63n]);
  });

  it('cuts off a record that was torn by a kill, so that the next one starts on a line of its own', () => {
    open(0n).append('m1', 1);
    appendFileSync(path.join(dir, 'default/t.ndjson'), '{"offset":"1","mess');

    const next = open(5n);
    next.append('m2', 1);

    expect(offsets(next)).toEqual([0n, 5n]);
    expect(offsets(open(0n))).toEqual([0n, 5n]);
  });

  it('remembers over processes how far it was uploaded', async () => {
    const log = open(0n);
    log.append('m1', 1);
    log.append('m2', 1);
    await log.markUploaded(1);

    expect(open(2n).uploadedTo()).toBe(1);
  });

  it('forgets everything when it is destroyed', async () => {
    const log = open(0n);
    log.append('m1', 1);
    await log.markUploaded(1);

    log.destroy();

    const next = open(0n);
    expect([next.end(), next.uploadedTo()]).toEqual([0, 0]);
  });

  it('drops the oldest records from memory when there are very many, and says where it starts', () => {
    const log = open(0n);
    for (let index = 0; index <= 100_000; index++) log.append('m', 1);

    expect(log.start()).toBe(50_000);
    expect(log.at(log.start())?.offset).toBe(50_000n);
    expect(log.at(49_999)).toBeUndefined();
    expect(log.end()).toBe(100_001);
  });
});
