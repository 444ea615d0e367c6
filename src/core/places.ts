/** Who is where: Pods by address, name and uid, and the newest registration at each place. Made once for a snapshot. */
import type { BrokerPod, Snapshot } from './snapshot.ts';

export interface Places {
  /** The one Pod that a broker's url points at: by address, or by name (`pod.service.namespace.svc…`). */
  podAt(brokerUrl: string): BrokerPod | undefined;
  podWithUid(uid: string | undefined): BrokerPod | undefined;
  /** Create revision of the newest registration at this url; 0 if there is none. */
  newestAt(brokerUrl: string): number;
  /** Create revision of the newest registration that points at the Pod; 0 if none does. */
  newestIn(pod: BrokerPod): number;
}

export interface Placed extends Pick<Snapshot, 'pods' | 'namespace'> {
  readonly metadata: Pick<Snapshot['metadata'], 'registrations'>;
}

/** An address or name that two Pods share names neither. */
type Unique = BrokerPod | 'shared';

export function createPlaces({ pods, namespace, metadata }: Placed): Places {
  const byIp = new Map<string, Unique>();
  const byName = new Map<string, Unique>();
  const byUid = new Map<string, BrokerPod>();
  for (const pod of pods) {
    if (pod.ip !== undefined) byIp.set(pod.ip, byIp.has(pod.ip) ? 'shared' : pod);
    byName.set(pod.name, byName.has(pod.name) ? 'shared' : pod);
    byUid.set(pod.uid, pod);
  }
  const found = new Map<string, BrokerPod | undefined>();
  const atUrl = new Map<string, number>();
  const inPod = new Map<string, number>();
  for (const { brokerUrl, createRevision } of metadata.registrations.values()) {
    atUrl.set(brokerUrl, Math.max(atUrl.get(brokerUrl) ?? 0, createRevision));
  }
  for (const [brokerUrl, createRevision] of atUrl) {
    const uid = podAt(brokerUrl)?.uid;
    if (uid !== undefined) inPod.set(uid, Math.max(inPod.get(uid) ?? 0, createRevision));
  }

  /** Parsing a url costs more than all else here, and each is asked for several times. */
  function podAt(brokerUrl: string): BrokerPod | undefined {
    if (!found.has(brokerUrl)) found.set(brokerUrl, findPod(brokerUrl));
    return found.get(brokerUrl);
  }

  function findPod(brokerUrl: string): BrokerPod | undefined {
    const host = hostOf(brokerUrl);
    if (host === undefined || isUnspecified(host)) return undefined;
    const [name = '', service, inNamespace = namespace] = host.split('.');
    const named = service !== undefined && inNamespace === namespace ? byName.get(name) : undefined;
    const pod = byIp.get(host) ?? named;
    return pod === 'shared' ? undefined : pod;
  }

  return {
    podAt,
    podWithUid: (uid) => (uid === undefined ? undefined : byUid.get(uid)),
    newestAt: (brokerUrl) => atUrl.get(brokerUrl) ?? 0,
    newestIn: (pod) => inPod.get(pod.uid) ?? 0,
  };
}

const PLAIN_HOST = /^[a-z][a-z0-9+.-]*:\/\/([a-z0-9._-]+)(?::\d{1,5})?(?:[/?#]|$)/i;

/** The host of a url, without brackets. Parsing every url in full would be most of a round with a thousand brokers. */
export function hostOf(brokerUrl: string): string | undefined {
  const plain = PLAIN_HOST.exec(brokerUrl)?.[1];
  if (plain !== undefined) return plain.toLowerCase();
  return URL.canParse(brokerUrl) ? new URL(brokerUrl).hostname.replace(/^\[|\]$/g, '') : undefined;
}

/** Whether the url names one place. */
export function isAddress(brokerUrl: string): boolean {
  const host = hostOf(brokerUrl);
  return host !== undefined && !isUnspecified(host);
}

/** An address that every Pod may have names none (contract §8: `0.0.0.0` when external access is off). */
function isUnspecified(host: string): boolean {
  return host === '0.0.0.0' || host === '::' || host === 'localhost' || host === '';
}
