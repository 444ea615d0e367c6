import type { Condition } from './fields.ts';

export type { Condition };

/** A reason: the status that it goes with, what it means, and what the user does about it. */
interface Reason {
  readonly status: Condition['status'];
  readonly means: string;
  readonly action: string;
}

interface ConditionType {
  readonly means: string;
  /** Reconciling and Stalled are absent unless they are True (kstatus); all others are always there. */
  readonly absentUnlessTrue?: true;
  readonly reasons: Readonly<Record<string, Reason>>;
}

/** The conditions of a kind by type. The API reference is made from it. */
export type ConditionCatalogue = Readonly<Record<string, ConditionType>>;

const nothing = 'Nothing.';
const wait = 'Wait; it passes by itself.';

const stalledReasons = {
  InvalidSpec: {
    means: 'The spec says something that the operator cannot do, such as an etcd endpoint outside the namespace.',
    action: 'Change the fields that the message names.',
  },
  PolicyConflict: {
    means: 'The etcd belongs to another policy or to another installation of the operator, which the message names.',
    action: 'Delete this policy or the other one; two cannot share a broker cluster.',
  },
  ForeignOperator: {
    means:
      "The brokers' leader key holds an id that is neither a broker's nor the operator's: some other program leads the brokers.",
    action: 'Stop the other program, or set mode to Observe.',
  },
} as const;

/** What a RebalancePolicy can report. */
export const policyConditions = {
  Ready: {
    means: 'The operator can do for this policy what its mode says.',
    reasons: {
      Reconciled: { status: 'True', means: 'Everything that the mode asks for is being done.', action: nothing },
      Starting: { status: 'False', means: 'The operator has not read the metadata of the brokers yet.', action: wait },
      EtcdUnreachable: {
        status: 'False',
        means: 'No etcd endpoint answers, or etcd has no leader. Brokers keep the topics that they have.',
        action: 'Check the endpoints of the spec, the etcd Pods, and the network policies between operator and etcd.',
      },
      NoBrokers: {
        status: 'False',
        means: 'No Pod matches the selector and no broker is registered in etcd.',
        action:
          'Compare brokerSelector with the labels of the broker Pods, and look into the log of a broker for errors with etcd.',
      },
      InvalidSpec: { status: 'False', ...stalledReasons.InvalidSpec },
      PolicyConflict: { status: 'False', ...stalledReasons.PolicyConflict },
      ForeignOperator: { status: 'False', ...stalledReasons.ForeignOperator },
    },
  },
  Reconciling: {
    means: 'The operator is on its way to the newest spec.',
    absentUnlessTrue: true,
    reasons: {
      Starting: {
        status: 'True',
        means: 'The operator reads the metadata of the brokers for the first time.',
        action: wait,
      },
      QuietPeriod: {
        status: 'True',
        means:
          'The leader key was taken over from a broker, which may not have noticed yet: the operator only looks on for 12 seconds.',
        action: wait,
      },
      EtcdUnreachable: {
        status: 'True',
        means: 'The operator tries again and again to reach etcd.',
        action: 'See Ready.',
      },
    },
  },
  Stalled: {
    means: 'The operator cannot go on before somebody changes something.',
    absentUnlessTrue: true,
    reasons: {
      InvalidSpec: { status: 'True', ...stalledReasons.InvalidSpec },
      PolicyConflict: { status: 'True', ...stalledReasons.PolicyConflict },
      ForeignOperator: { status: 'True', ...stalledReasons.ForeignOperator },
    },
  },
  TopicsServed: {
    means: 'Every topic has a live owner. This is the condition to page on.',
    reasons: {
      AllServed: { status: 'True', means: 'Every topic is assigned to a registered broker.', action: nothing },
      Unserved: {
        status: 'False',
        means: 'Some topics have no owner, or one that is gone. The message says how many and why.',
        action:
          'In mode Approve wait for the failover, and look at the BrokerLoads if it lasts longer than a minute. In mode Observe the brokers must do it.',
      },
      EtcdUnreachable: {
        status: 'Unknown',
        means: 'The assignments cannot be read.',
        action: 'See Ready.',
      },
    },
  },
  MetricsUsable: {
    means: 'Every live broker is ranked by fresh figures. Without them new topics are still assigned.',
    reasons: {
      Fresh: { status: 'True', means: 'Every live broker has reported recently.', action: nothing },
      Unusable: {
        status: 'False',
        means: 'The figures of some brokers are not used. The message names them and the reasons.',
        action: 'Look at MetricsUsable of their BrokerLoads.',
      },
      NoAgent: {
        status: 'False',
        means: 'Some broker Pods have no agent that answers. The message names them.',
        action: 'Add the agent to the Pods, and allow the operator to reach it in network policies.',
      },
      NoBrokers: { status: 'Unknown', means: 'There is no live broker to measure.', action: 'See Ready.' },
    },
  },
  Balanced: {
    means:
      'Every resource of every broker is within its band around the mean of the cluster, as far as figures are known.',
    reasons: {
      WithinBand: {
        status: 'True',
        means: 'No broker has been outside the band for long enough to count, or next to nothing is in use.',
        action: nothing,
      },
      Imbalanced: {
        status: 'False',
        means: 'Some broker is outside the band. The message names the furthest, and what the plan would do.',
        action: 'Look at status.plan. Nothing moves for balance yet: it shows what moves would win.',
      },
      OnlyUnmovableLeft: {
        status: 'False',
        means: 'Some broker is outside the band, and no topic that may move would help. The message says what binds.',
        action:
          'Look at status.skipped: allow more topics to move, change what the message names, or give the brokers more of the resource.',
      },
      MetricsUnusable: {
        status: 'Unknown',
        means: 'Too little is known of the load of the brokers to judge.',
        action: 'Look at MetricsUsable.',
      },
    },
  },
  Leading: {
    means: 'The operator leads the brokers: it holds their leader key, and only it assigns topics.',
    reasons: {
      Held: { status: 'True', means: 'The operator holds the leader key.', action: nothing },
      HeldByBroker: {
        status: 'False',
        means: 'A broker holds the leader key; the operator takes it over next.',
        action: wait,
      },
      Fenced: {
        status: 'False',
        means: 'Another replica of the operator has taken over; the writes of this one are refused.',
        action: wait,
      },
      NotWanted: { status: 'False', means: 'In mode Observe the brokers lead themselves.', action: nothing },
      Connecting: {
        status: 'Unknown',
        means: 'The leader key was not read yet, or etcd does not answer.',
        action: 'See Ready.',
      },
    },
  },
} as const satisfies ConditionCatalogue;

/** What a BrokerLoad can report. */
export const brokerConditions = {
  Ready: {
    means: 'The broker can be given topics.',
    reasons: {
      Serving: { status: 'True', means: 'The broker is registered and accepts assignments.', action: nothing },
      NotRegistered: {
        status: 'False',
        means: 'The Pod exists, and no broker has registered from its address.',
        action: 'Look into the log of the broker; it registers once it reaches etcd.',
      },
      NotAccepting: {
        status: 'False',
        means: 'The broker is registered and takes no assignments: it is still starting, or it is draining.',
        action: 'Wait if it starts; activate the broker again if the drain was not intended.',
      },
      Lost: {
        status: 'False',
        means: 'The broker was registered and is gone.',
        action: 'Look at its Pod. Its topics go to its next process or to other brokers.',
      },
    },
  },
  MetricsUsable: {
    means:
      'The figures of the broker are fresh, true and its own. Otherwise nothing is decided by them: the broker counts as the mean of the others.',
    reasons: {
      Fresh: { status: 'True', means: 'The agent has reported recently.', action: nothing },
      Stale: {
        status: 'False',
        means:
          'The agent has answered before and no longer does, or it answers with the same sample again and again; usage shows its last report.',
        action: 'Look at the agent container of the Pod, and restart it if it hangs. The message says what was tried.',
      },
      NoAgent: {
        status: 'False',
        means: 'No agent of this Pod has ever answered.',
        action: 'Add the agent to the Pod, and allow the operator to reach it in network policies.',
      },
      BrokerNotFound: {
        status: 'False',
        means:
          'The agent answers, and finds no process that listens at the address of the broker: it starts, or the agent cannot see it.',
        action:
          'If the broker runs, set shareProcessNamespace: true in the Pod and run the agent as the user of the broker.',
      },
      WrongCgroup: {
        status: 'False',
        means:
          'The agent cannot prove that it measures the container of the broker, or the limits that it finds are not those of the Pod.',
        action:
          'Do what the message says of the way in which the agent looks at the broker; usually the Pod lacks shareProcessNamespace: true.',
      },
      Implausible: {
        status: 'False',
        means:
          'The report cannot be true: more than the node or the limits allow, counters that go back without a restart, a process older than the container, a date in the future, or an answer that is no report.',
        action: 'Do what the message says. The next report that can be true is used again.',
      },
    },
  },
} as const satisfies ConditionCatalogue;

/** What a controller says about one condition; the catalogue decides which statuses and reasons go together. */
export interface ConditionUpdate {
  readonly type: string;
  readonly status: Condition['status'];
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
}

/** A `ConditionUpdate` that the catalogue `C` knows: a wrong reason, or one with the wrong status, does not compile. */
export type UpdateOf<C extends ConditionCatalogue> = {
  [T in keyof C & string]: {
    [R in keyof C[T]['reasons'] & string]: ConditionUpdate & {
      readonly type: T;
      readonly reason: R;
      readonly status: C[T]['reasons'][R]['status'];
    };
  }[keyof C[T]['reasons'] & string];
}[keyof C & string];

export type PolicyConditionUpdate = UpdateOf<typeof policyConditions>;
export type BrokerConditionUpdate = UpdateOf<typeof brokerConditions>;

/** What is known before the object that it is about is. */
export type WithoutGeneration<T> = T extends unknown ? Omit<T, 'observedGeneration'> : never;

const longestMessage = 32_768;

/**
 * A new list in which the condition of that type says what `update` says; all others, and the order, stay.
 *
 * `lastTransitionTime` becomes `now` (to the second, as in Kubernetes) only if the status changes. A message beyond what the
 * schema takes is cut, so that a long list of topics never makes the whole status unwritable.
 */
export function setCondition(list: readonly Condition[], update: ConditionUpdate, now: Date): Condition[] {
  const before = list.find((condition) => condition.type === update.type);
  const after: Condition = {
    type: update.type,
    status: update.status,
    observedGeneration: update.observedGeneration,
    lastTransitionTime: before?.status === update.status ? before.lastTransitionTime : toSeconds(now),
    reason: update.reason,
    message:
      update.message.length <= longestMessage ? update.message : `${update.message.slice(0, longestMessage - 1)}…`,
  };
  return before === undefined ? [...list, after] : list.map((condition) => (condition === before ? after : condition));
}

/** A new list without the condition of that type; for those that are absent unless True. */
export function removeCondition(list: readonly Condition[], type: string): Condition[] {
  return list.filter((condition) => condition.type !== type);
}

function toSeconds(moment: Date): string {
  return `${moment.toISOString().slice(0, 19)}Z`;
}
