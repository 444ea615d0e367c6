/** Where the load of each resource comes from, and how little of it is not worth a move. */
import { type LoadResource, loadResources } from '../../api/load-resources.ts';

export { type LoadResource, loadResources };

/** Those that only an agent sees; traffic in is also in the brokers' own reports. The others are sums over the topics. */
export const measuredResources = ['cpu', 'memory', 'networkIn', 'networkOut', 'diskIO'] as const;
export type MeasuredResource = (typeof measuredResources)[number];

export interface Floor {
  /** Of the cluster's capacity. */
  readonly share?: number;
  /** Per broker of average size, in the unit of the resource. */
  readonly perBroker?: number;
}

/**
 * Below its floor a resource is left alone: nothing suffers, and small differences are large shares of little. Resources without a
 * limit have no share of a capacity.
 */
export const floors: Readonly<Record<LoadResource, Floor>> = {
  cpu: { share: 0.05, perBroker: 0.05 },
  memory: { share: 0.1, perBroker: 128 * 1024 ** 2 },
  networkIn: { perBroker: 100_000 },
  networkOut: { perBroker: 100_000 },
  diskIO: { perBroker: 100_000 },
  topics: { perBroker: 10 },
  connections: { perBroker: 10 },
  backlog: { perBroker: 10_000 },
};
