/** The recorded histories of real 0.7.3 brokers as the auditor reads them. For tests. */
import { recordedEvents } from '../fixtures.ts';
import type { AuditedEvent } from './events.ts';

export function recordedHistory(file: 'history' | 'history-2'): readonly AuditedEvent[] {
  return recordedEvents(file).map(({ rev, type, key, value }) => ({
    type: type === 'PUT' ? 'put' : 'delete',
    entry: { key, value: Buffer.from(value ?? ''), modRevision: rev },
  }));
}
