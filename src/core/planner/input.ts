/**
 * What the planner is given and what it answers. Numbers live in typed arrays, row by row: `loads[topic * resources + resource]`,
 * so that a million topics cost no objects (design §6). Brokers, topics and resources are indexes into their lists of names.
 */

/** What a broker may take part in. A closed broker keeps its topics and may give them; a draining one must become empty. */
export const BrokerRole = { Active: 0, Closed: 1, Draining: 2 } as const;

/** A hard rule about where some topics may live: by labels of brokers, a tenant's own brokers, a zone. */
export interface PlacementRule {
  readonly name: string;
  /** One per broker; 1 = allowed. */
  readonly allowed: Uint8Array;
  /** One per broker; 1 = preferred: a topic that moves goes to one of these, unless a hard rule has no other way. Absent = all are. */
  readonly preferred?: Uint8Array;
}

/** Topics that must stay apart. Absent limits do not apply. */
export interface SpreadGroup {
  readonly name: string;
  readonly maxPerBroker?: number;
  readonly maxPerDomain?: number;
}

export interface PlannerInput {
  readonly resources: readonly string[];
  readonly brokers: readonly string[];
  readonly topics: readonly string[];
  /** brokers × resources, in the unit of the resource; 0 = the broker offers none of it. */
  readonly capacity: Float64Array;
  /** Indexes of the resources whose capacities are no limits and only say how to share out: no headroom is kept of them. */
  readonly unlimited?: readonly number[];
  /** topics × resources, in the units of the capacities. */
  readonly loads: Float64Array;
  /** Per topic, the broker that has it now. */
  readonly owner: Int32Array;
  /** brokers × resources: load that no topic explains and no move changes. */
  readonly background?: Float64Array;
  /** Why a topic may not move: 0 = it may, n = `reasons[n - 1]`. */
  readonly immovable?: { readonly of: Uint8Array; readonly reasons: readonly string[] };
  /** What moving a topic costs, 1 = a plain topic; reliable topics and connected clients cost more (contract M7). */
  readonly cost?: Float64Array;
  /**
   * Indexes of the resources that are traffic of clients. Of topics whose moves cost the same, those that have less of it move:
   * the share of the cluster's traffic that moves is added to the cost, so all of it together counts as one plain move.
   */
  readonly traffic?: readonly number[];
  /** Per topic the index of its rule, −1 = it may live anywhere. */
  readonly placement?: { readonly of: Int32Array; readonly rules: readonly PlacementRule[] };
  /** Per topic the index of its group, −1 = none; per broker the index of its domain (a zone, a node). */
  readonly spread?: {
    readonly of: Int32Array;
    readonly groups: readonly SpreadGroup[];
    readonly domainOf?: Int32Array;
    readonly domains?: readonly string[];
  };
  /** Per broker, a `BrokerRole`; absent = all are active. */
  readonly roles?: Uint8Array;
}

/**
 * Full: every resource of every broker into the band. Drain: only what must leave its broker. ScaleOut: only onto the brokers
 * of `scaleOutTo`. HotSpots: only the upper side of the band counts.
 */
export type PlanMode = 'Full' | 'Drain' | 'ScaleOut' | 'HotSpots';

export interface PlanOptions {
  readonly mode?: PlanMode;
  /** Shares of the mean: `{ above: 0.09, below: 0.09 }` keeps each broker within 0.91 to 1.09 of it. */
  readonly band?: { readonly above: number; readonly below: number };
  /** Indexes of the brokers that may receive in mode ScaleOut. */
  readonly scaleOutTo?: readonly number[];
  /** The share of its capacity, of any resource that has a limit, up to which a broker may be filled by a move; absent = no limit. */
  readonly headroom?: number;
  /** A resource is left alone while less than this share of the cluster's capacity is in use; default 0. */
  readonly activityFloor?: number;
  readonly maxMoves?: number;
  /** The largest share of the cluster's load, of any resource, that the plan may move. */
  readonly maxMovedShare?: number;
  /** Asked now and then; once true, the planner answers with what it has. */
  readonly shouldStop?: () => boolean;
}

/** Why a topic moves. The first three are hard rules, the others serve the band. */
export type MoveReason = 'Drain' | 'NotAllowed' | 'Spread' | 'Relieve' | 'Fill' | 'Exchange';

export interface Move {
  readonly topic: number;
  readonly from: number;
  readonly to: number;
  /** The resource that the move is for; −1 where a hard rule asks for it. */
  readonly resource: number;
  readonly reason: MoveReason;
}

/** How even one resource is over the brokers that count (those that are not draining). 1 = the mean. */
export interface ResourceFigures {
  readonly maxOverMean: number;
  readonly minOverMean: number;
  /** Coefficient of variation: standard deviation / mean. Alone it hides a hot broker in a large cluster. */
  readonly cv: number;
}

export interface PlanBounds {
  /** Per resource, the lowest max/mean that any plan can reach that follows the hard rules wherever it can. */
  readonly balance: readonly number[];
  /** The fewest moves of any plan that leaves no level further out than the furthest of this one, and no more brokers outside the band. */
  readonly moves: number;
}

/** A topic that a hard rule wants elsewhere and that stays, with the reason. */
export interface Blocked {
  readonly topic: number;
  readonly wanted: 'Drain' | 'NotAllowed' | 'Spread';
  /** The name of the policy's rule, of `NotAllowed` and `Spread`. */
  readonly rule?: string;
  readonly because: string;
}

export interface Plan {
  /** In an order in which they may be carried out: what hard rules ask for first, then what helps most. */
  readonly moves: readonly Move[];
  /**
   * After how many moves it may be interrupted: the cluster is then no worse than at the cut before, and every rule holds. Moves that
   * only help together have no cut between them. The last cut is after all moves.
   */
  readonly cuts: readonly number[];
  /** Of all moves, 1 = that of a plain topic, with the share of the cluster's traffic that moves. */
  readonly cost: number;
  readonly before: readonly ResourceFigures[];
  readonly after: readonly ResourceFigures[];
  readonly inBand: boolean;
  readonly bounds: PlanBounds;
  readonly gap: { readonly balance: readonly number[]; readonly moves: number };
  readonly bindingConstraint: string;
  readonly blocked: readonly Blocked[];
  /** Of the moves by name: the same plan has the same hash wherever it was made. */
  readonly hash: string;
  readonly stats: PlanStats;
}

export interface PlanStats {
  /** Positions that were weighed: what the work is proportional to, whatever the machine. */
  readonly evaluations: number;
  readonly shed: number;
  readonly repaired: number;
  readonly pruned: number;
  /** Moves that another topic took over for less. */
  readonly replaced: number;
  /** Whether `shouldStop` cut the work short. */
  readonly stopped: boolean;
}
