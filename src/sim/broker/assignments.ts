/**
 * How a broker follows its own assignments (contract 5.1): from "now" on, one event after the other, and never again once
 * the stream has broken.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import {
  assignmentKey,
  assignmentsPrefix,
  brokerStateKey,
  deliveryKey,
  parseKey,
  unassignedKey,
} from '../../danube/keys.ts';
import {
  decodeBrokerState,
  decodeDelivery,
  decodeMarker,
  encodeBrokerState,
  encodeMarker,
} from '../../danube/values.ts';
import type { EtcdPort } from '../../etcd/port.ts';
import type { MetadataCache } from './cache.ts';
import type { Service } from './service.ts';
import { put, remove } from './write.ts';

interface AssignmentDependencies {
  readonly etcd: EtcdPort;
  readonly cache: MetadataCache;
  readonly service: Service;
  readonly log: Logger;
  readonly brokerId: string;
  readonly signal: AbortSignal;
}

const DELIVERY_TRIES = 3;
const DELIVERY_WAIT_MS = 500;

/**
 * Resolves once every later assignment will be seen; what was assigned before is never looked at.
 * @throws EtcdError
 */
export async function followAssignments(deps: AssignmentDependencies): Promise<void> {
  const prefix = assignmentsPrefix(deps.brokerId);
  const { revision } = await deps.etcd.read(prefix);
  watchFrom(deps, revision + 1).catch((error: unknown) => deps.log.error({ err: error }, 'deaf: watch failed'));
}

async function watchFrom(deps: AssignmentDependencies, from: number): Promise<void> {
  const { etcd, log, brokerId, signal } = deps;
  for await (const message of etcd.watch(assignmentsPrefix(brokerId), from, signal)) {
    // The port would resume; the real broker's task ends with its stream, so ours does, too.
    if (message.kind !== 'events') {
      log.error({ watch: message.kind }, 'deaf: the assignment watch ended and is never resumed');
      return;
    }
    for (const { type, entry } of message.events) {
      const parsed = parseKey(entry.key);
      // Its own state key arrives here, too, and is ignored.
      if (parsed.kind !== 'assignment') continue;
      try {
        if (type === 'put') await assigned(deps, parsed.topic);
        else await withdrawn(deps, parsed.topic);
      } catch (error) {
        log.error({ topic: parsed.topic, event: type, err: error }, 'assignment event failed and is not tried again');
      }
    }
  }
}

async function assigned({ etcd, cache, service, log, brokerId }: AssignmentDependencies, topic: string): Promise<void> {
  if ((await modeOf(etcd, brokerId)) !== 'active') {
    await remove(etcd, assignmentKey(brokerId, topic));
    await put(etcd, unassignedKey(topic), encodeMarker({ kind: 'drain_redirect', fromBroker: brokerId }));
    return;
  }
  for (let tried = 0; ; tried++) {
    const value = cache.get(deliveryKey(topic));
    const delivery = value === undefined ? undefined : decodeDelivery(Buffer.from(value));
    if (delivery?.ok) {
      await service.load(topic, delivery.value);
      log.debug({ topic }, 'topic loaded');
      return;
    }
    if (tried === DELIVERY_TRIES) break;
    // A plain wait, as in the real broker: a `delivery` that comes late costs up to half a second more.
    await delay(DELIVERY_WAIT_MS);
  }
  log.error({ topic }, 'Cache readiness verification failed: no delivery, the assignment is dropped for ever');
}

async function withdrawn({ etcd, service, log, brokerId }: AssignmentDependencies, topic: string): Promise<void> {
  const entry = await etcd.get(unassignedKey(topic));
  const marker = entry && decodeMarker(entry.value);
  if (marker?.ok && marker.value.kind === 'unload') await service.unload(topic);
  else await service.deleteLocal(topic);
  log.debug({ topic }, 'topic gone');
  const left = [...service.topics()].length;
  if (left === 0 && (await modeOf(etcd, brokerId)) === 'draining') {
    await put(etcd, brokerStateKey(brokerId), encodeBrokerState({ mode: 'drained', reason: 'drain_complete' }));
  }
}

/** No state, or none that can be read, counts as active (contract 4.3). */
async function modeOf(etcd: EtcdPort, brokerId: string): Promise<string> {
  const entry = await etcd.get(brokerStateKey(brokerId));
  const state = entry && decodeBrokerState(entry.value);
  return state?.ok ? state.value.mode : 'active';
}
