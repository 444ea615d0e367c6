/**
 * What load is measured in. cpu: cores. memory: bytes. networkIn, networkOut, diskIO: bytes per second. topics: topics.
 * connections: producers and consumers. backlog: messages not yet consumed.
 */
export const loadResources = [
  'cpu',
  'memory',
  'networkIn',
  'networkOut',
  'diskIO',
  'topics',
  'connections',
  'backlog',
] as const;

export type LoadResource = (typeof loadResources)[number];
