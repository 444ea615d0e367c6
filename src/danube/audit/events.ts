/** What the auditor reads: events as a watch delivers them. */

/** For a deletion, key and modRevision only; the value is empty. */
export interface AuditedEvent {
  readonly type: 'put' | 'delete';
  readonly entry: AuditedEntry;
}

export interface AuditedEntry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly modRevision: number;
}

const utf8 = new TextDecoder();

export function textOf(value: Uint8Array): string {
  return utf8.decode(value);
}
