/** events.k8s.io/v1: what happened to an object, for `kubectl describe`. */
import type { KubeClient, KubeError, KubeObject, Resource } from './client.ts';

export const EVENTS: Resource = { group: 'events.k8s.io', version: 'v1', plural: 'events', namespaced: true };

export interface EventRecorderOptions {
  readonly client: KubeClient;
  /** Qualified name of the controller. */
  readonly controller: string;
  /** This replica. */
  readonly instance: string;
  readonly onError: (error: KubeError) => void;
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

const MAX_NOTE = 1024;

export type RecordEvent = (event: RecordedEvent) => void;

/** Events are best effort: one that cannot be written is told to `onError` and dropped. */
export function createEventRecorder({ client, controller, instance, onError }: EventRecorderOptions): RecordEvent {
  return ({ regarding, type, reason, action, note }) => {
    const { name, namespace = 'default', uid } = regarding.metadata;
    const now = new Date();
    const event = {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: {
        name: `${name}.${now.getTime().toString(16)}${Math.floor(performance.now()).toString(16)}`,
        namespace,
      },
      eventTime: now.toISOString().replace('Z', '000Z'),
      reportingController: controller,
      reportingInstance: instance.slice(0, 128),
      regarding: { apiVersion: regarding.apiVersion, kind: regarding.kind, name, namespace, uid },
      type,
      reason,
      action,
      note: note.slice(0, MAX_NOTE),
    };
    client.create(EVENTS, event).catch(onError);
  };
}
