/**
 * Watches how evenly one policy's brokers are loaded: looks every few seconds, and while the load has been uneven for long enough,
 * or topics stand against rules, there is a plan, made beside the event loop. It says what it would do; it moves nothing.
 */
import { isDeepStrictEqual } from 'node:util';
import type { TopicsReport } from '../api/agent-report.ts';
import type { EffectiveSpec } from '../api/rebalance-policy.ts';
import { balanceOf } from '../core/load-model/balance.ts';
import { createLoadModel } from '../core/load-model/model.ts';
import type { LoadPicture } from '../core/load-model/picture.ts';
import { readingsOf } from '../core/load-model/readings.ts';
import { type PlanningFacts, type PlanPurpose, type PlanSummary, summarisePlanning } from '../core/plan-status.ts';
import { type Detection, type DetectionState, detect } from '../core/planner/detection.ts';
import type { ResourceFigures } from '../core/planner/input.ts';
import { applyPolicy } from '../core/policy/apply-policy.ts';
import { type Labels, labelsOf } from '../core/policy/placement-rules.ts';
import type { Balance } from '../core/snapshot.ts';
import type { Logger } from './logger.ts';
import type { Planning } from './planning.ts';
import type { Cluster } from './reporter.ts';

export interface BalanceOptions {
  readonly policy: string;
  readonly planning: Pick<Planning, 'plan'>;
  /** Whether a topic stands where the policy's rules do not want it. Asked at every look. */
  readonly isAgainstRules: (cluster: Cluster) => boolean;
  readonly log: Logger;
}

export interface BalanceWatch {
  /** Takes in what a Pod's agent says of its topics, at this moment of the operator's clock. */
  noteTopics(podUID: string, report: TopicsReport, now: number): void;
  /**
   * Looks at the cluster. With `plans` a plan is made if one is needed and there is none that still counts; resolves when it is
   * there. A replica that only stands by looks as well: what has to last is then known to last when it leads.
   */
  look(cluster: Cluster, spec: EffectiveSpec, plans: boolean): Promise<void>;
  /** What placement must heed; undefined before the first look. */
  balance(): Balance | undefined;
  /** For the policy's status. */
  summary(spec: EffectiveSpec): PlanSummary;
  /** How even each resource is that is planned, by its name. */
  figures(): ReadonlyMap<string, ResourceFigures>;
  /** Ends the plan that is being made. */
  stop(): void;
}

/** A plan is of its moment: after this long it is made anew; one that does not reach the band sooner, since what kept it may be over. */
const PLAN_KEPT_MS = 120_000;
const PLAN_SHORT_OF_BAND_KEPT_MS = 30_000;
const KNOWN_CHANGES_MS = 30_000;
/** A thousand brokers with a million topics take a second; what there is after ten is better than nothing. */
const PLAN_DEADLINE_MS = 10_000;

export function createBalanceWatch({ policy, planning, isAgainstRules, log }: BalanceOptions): BalanceWatch {
  const model = createLoadModel();
  const stopped = new AbortController();
  let state: DetectionState = new Map();
  let last: { readonly picture: LoadPicture; readonly detection: Detection; readonly balance: Balance } | undefined;
  let made: Made | undefined;
  let isPlanning = false;

  /** What a plan is made from. Apart from planning: the columns of the picture that only the policy needs are not held while that lasts. */
  function gather({ brokers }: Cluster, spec: EffectiveSpec, purpose: PlanPurpose) {
    const picture = model.picture();
    const labels = picture.input.brokers.map((broker) => labelsOf(brokers.get(broker)));
    const applied = applyPolicy({
      snapshot: { ...picture, labels, ignored: [] },
      rebalance: spec.rebalance,
      ...(spec.placement !== undefined && { placement: spec.placement }),
      // What is not out of balance for long enough must not move for it.
      mode: purpose === 'Balance' ? 'Full' : 'Drain',
      brokers: [],
    });
    return { ...applied, known: knownBrokers(picture), basis: basisOf(brokers, picture, spec) };
  }

  async function plan(cluster: Cluster, spec: EffectiveSpec, purpose: PlanPurpose): Promise<void> {
    const { now } = cluster.snapshot;
    const { input, options, notes, known, basis } = gather(cluster, spec, purpose);
    // The thread takes the arrays; the names of topics and why they may not move are needed here, too.
    const { topics, resources, immovable } = input;
    const kept = structuredClone({ resources, ...(immovable !== undefined && { immovable }) });
    const outcome = await planning.plan(input, { options, deadlineMs: PLAN_DEADLINE_MS, signal: stopped.signal });
    if (outcome.kind === 'Failed') log.warn({ policy, problem: outcome.problem }, 'no plan was made; trying again');
    if (outcome.kind !== 'Planned') {
      // The one before no longer counts: nobody should be told of it as if it did.
      made = undefined;
      return;
    }
    const isShort = purpose === 'Balance' && !outcome.plan.inBand;
    const expiresAt = now + (isShort ? PLAN_SHORT_OF_BAND_KEPT_MS : PLAN_KEPT_MS);
    made = { purpose, plan: outcome.plan, input: { ...kept, topics }, expiresAt, basis, known, madeAt: now };
    const { moves, bounds, bindingConstraint, hash } = outcome.plan;
    const facts = { moves: moves.length, minMoves: bounds.moves, planMs: Math.round(outcome.planMs) };
    log.info({ policy, purpose, hash, ...facts, bindingConstraint, ...(notes.length > 0 && { notes }) }, 'made a plan');
  }

  /** Whether the plan that there is still does: it is young, and the policy and the brokers are those that it was made for. */
  function counts(
    { snapshot: { now }, brokers }: Cluster,
    picture: LoadPicture,
    spec: EffectiveSpec,
    purpose: PlanPurpose,
  ): boolean {
    if (made?.purpose !== purpose || made.expiresAt <= now) return false;
    if (!isDeepStrictEqual(made.basis, basisOf(brokers, picture, spec))) return false;
    // Brokers whose figures come or go change what a plan could do, and break nothing: that can wait a moment.
    return now - made.madeAt < KNOWN_CHANGES_MS || isDeepStrictEqual(made.known, knownBrokers(picture));
  }

  /** What a plan is needed for. */
  function purposeOf({ verdict }: Detection, cluster: Cluster): PlanPurpose | undefined {
    if (verdict === 'Imbalanced') return 'Balance';
    return isAgainstRules(cluster) ? 'Rules' : undefined;
  }

  return {
    noteTopics(podUID, report, now) {
      if (last !== undefined) model.noteTopics({ podUID, report, seenAt: now });
    },

    async look(cluster, spec, plans) {
      const { now, metadata } = cluster.snapshot;
      model.observe({ now, metadata, brokers: cluster.brokers, readings: readingsOf(cluster.snapshot) });
      const picture = model.picture({ topics: false });
      const { band, sustainedSeconds, limits } = spec.rebalance;
      const [above, below] = [band.abovePercent / 100, band.belowPercent / 100];
      const { minActiveBrokers } = limits;
      const detection = detect({
        input: picture.input,
        options: { band: { above, below }, sustainedSeconds, minActiveBrokers },
        previous: state,
        nowSeconds: now / 1000,
      });
      state = detection.state;
      last = { picture, detection, balance: balanceOf(picture, above) };
      const purpose = purposeOf(detection, cluster);
      if (purpose === undefined) made = undefined;
      else if (plans && !isPlanning && !counts(cluster, picture, spec, purpose)) {
        isPlanning = true;
        try {
          await plan(cluster, spec, purpose);
        } finally {
          isPlanning = false;
        }
      }
    },

    balance: () => last?.balance,

    summary({ rebalance }) {
      const { sustainedSeconds, limits } = rebalance;
      const settings = { sustainedSeconds, minActiveBrokers: limits.minActiveBrokers };
      return summarisePlanning({ policy, look: last, settings, made });
    },

    figures() {
      const { picture, detection } = last ?? {};
      return new Map(picture?.input.resources.map((name, at) => [name, detection?.figures[at] as ResourceFigures]));
    },

    stop: () => stopped.abort(),
  };
}

type Made = NonNullable<PlanningFacts['made']> & {
  readonly basis: PlanBasis;
  readonly known: ReadonlySet<string>;
  readonly madeAt: number;
};

/** Brokers that take part in moves for balance. */
function knownBrokers({ brokers }: LoadPicture): ReadonlySet<string> {
  return new Set(brokers.filter(({ isKnown }) => isKnown).map(({ broker }) => broker));
}

/** What a plan was made for. When one of these changes, it may break a rule or move topics to a broker that is gone. */
interface PlanBasis {
  readonly rebalance: EffectiveSpec['rebalance'];
  readonly placement: EffectiveSpec['placement'];
  /** With the labels that rules select by. */
  readonly brokers: ReadonlyMap<string, Labels>;
}

function basisOf(
  brokers: Cluster['brokers'],
  { input }: LoadPicture,
  { rebalance, placement }: EffectiveSpec,
): PlanBasis {
  return { rebalance, placement, brokers: new Map(input.brokers.map((id) => [id, labelsOf(brokers.get(id))])) };
}
