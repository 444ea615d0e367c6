/**
 * Decodes the replies that come often: pages of keys, watch events, transactions. The generic decoder makes three
 * objects and four strings per key; this one makes the entry alone, and its value stays a view of the page.
 */
import { type Entry, EtcdError, type WatchedEvent } from './port.ts';

/** etcd's RangeResponse. */
export interface RangeReply {
  readonly revision: number;
  readonly entries: readonly Entry[];
  readonly more: boolean;
  readonly count: number;
  /** The bytes of the last entry's key: a key need not be valid UTF-8, so the string cannot stand for it. */
  readonly lastKey: Buffer | undefined;
  /** Of the encoded message. */
  readonly bytes: number;
}

/** etcd's TxnResponse. */
export interface TxnReply {
  readonly revision: number;
  readonly succeeded: boolean;
  /** What the ranges of the branch taken have read. */
  readonly found: readonly Entry[];
}

/** etcd's WatchResponse. */
export interface WatchReply {
  readonly clusterId: string;
  readonly revision: number;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly cancelReason: string;
  /** 0 unless the watch was cancelled because of a compaction. */
  readonly compactRevision: number;
  /** More of the same revisions follows in the next reply. */
  readonly fragment: boolean;
  readonly events: readonly WatchedEvent[];
  /** Of the encoded message. */
  readonly bytes: number;
}

interface Cursor {
  readonly bytes: Buffer;
  at: number;
}

interface Header {
  readonly clusterId: string;
  readonly revision: number;
}

const NO_HEADER: Header = { clusterId: '0', revision: 0 };
const EMPTY = Buffer.alloc(0);

/** @throws EtcdError when it is no RangeResponse or a revision is beyond 2^53. */
export function decodeRangeReply(bytes: Buffer): RangeReply {
  const cursor = { bytes, at: 0 };
  let header = NO_HEADER;
  const entries: Entry[] = [];
  let last = -1;
  let more = false;
  let count = 0;
  while (cursor.at < bytes.length) {
    const tag = readVarint(cursor);
    if (tag === 0x12) {
      const end = readEnd(cursor);
      last = cursor.at;
      entries.push(readEntry(cursor, end));
    } else if (tag === 0x0a) header = readHeader(cursor);
    else if (tag === 0x18) more = readVarint(cursor) === 1;
    else if (tag === 0x20) count = readVarint(cursor);
    else skip(cursor, tag);
  }
  const lastKey = last < 0 ? undefined : readKey(bytes, last);
  return { revision: header.revision, entries, more, count, lastKey, bytes: bytes.length };
}

/** @throws EtcdError when it is no TxnResponse or a revision is beyond 2^53. */
export function decodeTxnReply(bytes: Buffer): TxnReply {
  const cursor = { bytes, at: 0 };
  let header = NO_HEADER;
  let succeeded = false;
  const found: Entry[] = [];
  while (cursor.at < bytes.length) {
    const tag = readVarint(cursor);
    if (tag === 0x0a) header = readHeader(cursor);
    else if (tag === 0x10) succeeded = readVarint(cursor) === 1;
    else if (tag === 0x1a) {
      const end = readEnd(cursor);
      while (cursor.at < end) {
        const operation = readVarint(cursor);
        if (operation !== 0x0a) skip(cursor, operation);
        else {
          const rangeEnd = readEnd(cursor);
          found.push(...decodeRangeReply(bytes.subarray(cursor.at, rangeEnd)).entries);
          cursor.at = rangeEnd;
        }
      }
    } else skip(cursor, tag);
  }
  return { revision: header.revision, succeeded, found };
}

/** @throws EtcdError when it is no WatchResponse or a revision is beyond 2^53. */
export function decodeWatchReply(bytes: Buffer): WatchReply {
  const cursor = { bytes, at: 0 };
  let header = NO_HEADER;
  let created = false;
  let canceled = false;
  let compactRevision = 0;
  let cancelReason = '';
  let fragment = false;
  const events: WatchedEvent[] = [];
  while (cursor.at < bytes.length) {
    const tag = readVarint(cursor);
    if (tag === 0x5a) events.push(readEvent(cursor));
    else if (tag === 0x0a) header = readHeader(cursor);
    else if (tag === 0x18) created = readVarint(cursor) === 1;
    else if (tag === 0x20) canceled = readVarint(cursor) === 1;
    else if (tag === 0x28) compactRevision = toExact(readVarint(cursor));
    else if (tag === 0x32) cancelReason = readText(cursor);
    else if (tag === 0x38) fragment = readVarint(cursor) === 1;
    else skip(cursor, tag);
  }
  return { ...header, created, canceled, cancelReason, compactRevision, fragment, events, bytes: bytes.length };
}

function readHeader(cursor: Cursor): Header {
  const end = readEnd(cursor);
  let clusterId = '0';
  let revision = 0;
  while (cursor.at < end) {
    const tag = readVarint(cursor);
    if (tag === 0x08) clusterId = readBigVarint(cursor);
    else if (tag === 0x18) revision = toExact(readVarint(cursor));
    else skip(cursor, tag);
  }
  return { clusterId, revision };
}

function readEvent(cursor: Cursor): WatchedEvent {
  const end = readEnd(cursor);
  let type: WatchedEvent['type'] = 'put';
  let entry: Entry | undefined;
  while (cursor.at < end) {
    const tag = readVarint(cursor);
    if (tag === 0x08) type = readVarint(cursor) === 1 ? 'delete' : 'put';
    else if (tag === 0x12) entry = readEntry(cursor, readEnd(cursor));
    else skip(cursor, tag);
  }
  if (entry === undefined) throw new EtcdError('etcd sent an event without a key; is it an etcd of version 3?');
  return { type, entry };
}

function readEntry(cursor: Cursor, end: number): Entry {
  let key = '';
  let value: Buffer = EMPTY;
  let createRevision = 0;
  let modRevision = 0;
  let version = 0;
  let lease = '0';
  while (cursor.at < end) {
    const tag = readVarint(cursor);
    if (tag === 0x0a) key = readText(cursor);
    else if (tag === 0x10) createRevision = readVarint(cursor);
    else if (tag === 0x18) modRevision = readVarint(cursor);
    else if (tag === 0x20) version = readVarint(cursor);
    else if (tag === 0x2a) {
      const valueEnd = readEnd(cursor);
      value = cursor.bytes.subarray(cursor.at, valueEnd);
      cursor.at = valueEnd;
    } else if (tag === 0x30) lease = readBigVarint(cursor);
    else skip(cursor, tag);
  }
  // createRevision and version never exceed it.
  toExact(modRevision);
  return lease === '0'
    ? { key, value, createRevision, modRevision, version }
    : { key, value, createRevision, modRevision, version, lease };
}

/** The key's bytes of the KeyValue that starts at `at`: its key is always its first field. */
function readKey(bytes: Buffer, at: number): Buffer {
  const cursor = { bytes, at };
  if (readVarint(cursor) !== 0x0a) return EMPTY;
  const end = readEnd(cursor);
  return bytes.subarray(cursor.at, end);
}

function readText(cursor: Cursor): string {
  const end = readEnd(cursor);
  const text = cursor.bytes.toString('utf8', cursor.at, end);
  cursor.at = end;
  return text;
}

/** Where the field ends whose length comes next. */
function readEnd(cursor: Cursor): number {
  const length = readVarint(cursor);
  const end = cursor.at + length;
  if (end > cursor.bytes.length) throw new EtcdError('a reply of etcd ends in the middle of a field');
  return end;
}

/** Exact up to 2^53; larger ones come out rounded, which `toExact` notices. */
function readVarint(cursor: Cursor): number {
  const { bytes } = cursor;
  let byte = bytes[cursor.at++] ?? 0;
  if (byte < 0x80) return byte;
  let result = byte & 0x7f;
  let factor = 0x80;
  do {
    byte = bytes[cursor.at++] ?? 0;
    result += (byte & 0x7f) * factor;
    factor *= 0x80;
  } while (byte >= 0x80);
  return result;
}

/** A 64-bit number of any size, as a decimal string. */
function readBigVarint(cursor: Cursor): string {
  const start = cursor.at;
  const near = readVarint(cursor);
  if (Number.isSafeInteger(near)) return String(near);
  let result = 0n;
  for (let at = cursor.at - 1; at >= start; at--) result = (result << 7n) | BigInt((cursor.bytes[at] ?? 0) & 0x7f);
  return result.toString();
}

function toExact(revision: number): number {
  if (Number.isSafeInteger(revision)) return revision;
  throw new EtcdError(`etcd revision ${revision} is beyond 2^53 and cannot be used`);
}

/** Passes over a field that we do not read. */
function skip(cursor: Cursor, tag: number): void {
  const type = tag & 7;
  if (type === 0) readVarint(cursor);
  else if (type === 1) cursor.at += 8;
  else if (type === 2) cursor.at = readEnd(cursor);
  else if (type === 5) cursor.at += 4;
  else throw new EtcdError('a reply of etcd has a field of an unknown kind; is it an etcd of version 3?');
}
