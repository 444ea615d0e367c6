/**
 * events.k8s.io/v1: what happened to an object, for `kubectl describe`. The same thing again becomes a series of one Event
 * and not another Event, and whatever happens, only so many are made: Events share the etcd of the whole cluster.
 */
import { isNotFound, type KubeClient, KubeError, type KubeObject, type Resource } from './client.ts';

export const EVENTS: Resource = { group: 'events.k8s.io', version: 'v1', plural: 'events', namespaced: true };

export interface EventRecorderOptions {
  readonly client: Pick<KubeClient, 'create' | 'patch'>;
  /** Qualified name of the controller. */
  readonly controller: string;
  /** This replica. */
  readonly instance: string;
  readonly onError: (error: KubeError) => void;
  /** How often the count of a series is written. Default 10,000. */
  readonly seriesEveryMs?: number;
}

export interface RecordedEvent {
  readonly regarding: { readonly apiVersion: string; readonly kind: string } & KubeObject;
  readonly type: 'Normal' | 'Warning';
  /** CamelCase, past tense. */
  readonly reason: string;
  /** What the controller did. */
  readonly action: string;
  readonly note: string;
}

export type RecordEvent = (event: RecordedEvent) => void;

/** The API server's limits. */
const MAX_NOTE = 1024;
const MAX_INSTANCE = 128;
/** An object's name in the Event's own name, which may have 253 characters in all. */
const MAX_NAME_PART = 220;
/** After so much silence the same thing is news again; as in client-go. */
const SERIES_ENDS_MS = 6 * 60_000;
/** New Events: so many at once, and then one for each so many ms. */
const BURST = 25;
const ONE_PER_MS = 1_000;

interface Series {
  readonly recorded: RecordedEvent;
  /** Of the Event in the API. */
  name: string;
  count: number;
  lastAt: number;
  writtenAt: number;
  /** The count waits for its turn. */
  waiting: boolean;
  lastWrite: Promise<void>;
}

/** Events are best effort: one that cannot be written, or is one too many, is told to `onError` and dropped. */
export function createEventRecorder(options: EventRecorderOptions): RecordEvent {
  const { client, controller, instance, onError, seriesEveryMs = 10_000 } = options;
  const allSeries = new Map<string, Series>();
  let tokens = BURST;
  let refilledAt = Date.now();
  let made = 0;

  function takeToken(now: number): boolean {
    const refill = Math.floor((now - refilledAt) / ONE_PER_MS);
    if (refill > 0) refilledAt = now;
    tokens = Math.min(BURST, tokens + Math.max(0, refill));
    if (tokens === 0) return false;
    tokens -= 1;
    return true;
  }

  function begin(key: string, recorded: RecordedEvent, now: number): void {
    for (const [old, { lastAt }] of allSeries) if (now - lastAt > SERIES_ENDS_MS) allSeries.delete(old);
    if (!takeToken(now)) {
      const { reason, regarding } = recorded;
      const message = `more than ${BURST} events at once: ${reason} of ${regarding.metadata.name} was not recorded`;
      onError(new KubeError(message, { status: 0, reason: 'TooManyEvents' }));
      return;
    }
    const name = nameFor(recorded, now);
    const series = { recorded, name, count: 1, lastAt: now, writtenAt: now, waiting: false };
    allSeries.set(key, { ...series, lastWrite: create(series).catch(onError) });
  }

  function repeat(series: Series, now: number): void {
    series.count += 1;
    series.lastAt = now;
    if (series.waiting) return;
    series.waiting = true;
    // The count of a process that ends before is lost; nobody waits for it.
    setTimeout(() => writeCount(series), Math.max(0, series.writtenAt + seriesEveryMs - now)).unref();
  }

  function writeCount(series: Series): void {
    series.waiting = false;
    series.writtenAt = Date.now();
    series.lastWrite = series.lastWrite.then(() => patchSeries(series)).catch(onError);
  }

  async function patchSeries(series: Series): Promise<void> {
    const { namespace } = objectOf(series.recorded);
    const ref = { namespace, name: series.name };
    try {
      await client.patch(EVENTS, ref, { series: seriesOf(series) }, { type: 'merge' });
    } catch (error) {
      if (!isNotFound(error)) throw error;
      // Events live for an hour; this one has lasted longer.
      series.name = nameFor(series.recorded, Date.now());
      await create(series);
    }
  }

  function nameFor({ regarding }: RecordedEvent, now: number): string {
    made += 1;
    return `${regarding.metadata.name.slice(0, MAX_NAME_PART)}.${now.toString(16)}${made.toString(16).padStart(4, '0')}`;
  }

  async function create(series: Pick<Series, 'recorded' | 'name' | 'count' | 'lastAt'>): Promise<void> {
    const { type, reason, action, note } = series.recorded;
    const regarding = objectOf(series.recorded);
    const event = {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name: series.name, namespace: regarding.namespace },
      eventTime: microTime(series.lastAt),
      reportingController: controller,
      reportingInstance: instance.slice(0, MAX_INSTANCE),
      regarding,
      type,
      reason,
      action,
      note: note.slice(0, MAX_NOTE),
      // A series of one is refused.
      ...(series.count > 1 && { series: seriesOf(series) }),
    };
    await client.create(EVENTS, event);
  }

  return (recorded) => {
    const now = Date.now();
    const { type, reason, action, note } = recorded;
    const key = JSON.stringify([objectOf(recorded), type, reason, action, note]);
    const series = allSeries.get(key);
    if (series === undefined || now - series.lastAt > SERIES_ENDS_MS) begin(key, recorded, now);
    else repeat(series, now);
  };
}

function objectOf({ regarding }: RecordedEvent) {
  const { name, namespace = 'default', uid } = regarding.metadata;
  return { apiVersion: regarding.apiVersion, kind: regarding.kind, name, namespace, uid };
}

function seriesOf({ count, lastAt }: Pick<Series, 'count' | 'lastAt'>) {
  return { count, lastObservedTime: microTime(lastAt) };
}

/** RFC 3339 with the six digits that the API server demands of a MicroTime. */
function microTime(epochMs: number): string {
  return new Date(epochMs).toISOString().replace('Z', '000Z');
}
