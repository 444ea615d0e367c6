/** Why a policy's rules leave a topic without a broker, for the person whom it wakes: the rule, what it asks for, and what to do. */
import type { PlacementRuleSpec } from '../api/rebalance.ts';
import type { Labels } from './policy/placement-rules.ts';
import type { TopicGroup } from './policy/spread.ts';
import type { BrokerPod } from './snapshot.ts';

export interface RuledOut {
  /** Names, as in `fast and zone-a`. */
  readonly rule: string;
  readonly message: string;
}

type Required = readonly Pick<PlacementRuleSpec, 'name' | 'brokerSelector'>[];

const MOST_NAMED = 3;

/** No broker that takes assignments has the labels that the rules ask for. */
export function nobodyAllowed(required: Required, pods: readonly BrokerPod[]): RuledOut {
  const labels = wantedLabels(required);
  const them = labels.length === 1 ? 'it' : 'them';
  const having = pods.filter((pod) => labels.every(([key, value]) => pod.labels[key] === value));
  const found =
    having.length === 0
      ? `no broker Pod has ${them}`
      : `the Pods that have ${them} take no topics now, see their BrokerLoads (${listed(having.map(({ name }) => name))})`;
  return ruledOut(required, `needs a broker with ${labelText(labels)}: ${found}; ${remedy(labels)}`);
}

/** Those that are allowed are those that the topic must not go back to. */
export function onlyAvoided(required: Required, brokers: readonly string[]): RuledOut {
  const why = `allows only broker ${listed(brokers)}, where the topic was before and may not go back to`;
  return ruledOut(required, `${why}; ${remedy(wantedLabels(required))}`);
}

/**
 * Every broker that the topic could go to has as many of its group as it may, or its domain has. `labels` are those of the brokers that the
 * required rules allow.
 */
export function tooClose(
  { name, rule, maxPerBroker, maxPerDomain }: TopicGroup,
  required: Required,
  labels: readonly Labels[],
): RuledOut {
  const { topologyKey = '' } = rule;
  const limits = [
    ...(maxPerBroker === undefined ? [] : [`${maxPerBroker} to a broker`]),
    ...(maxPerDomain === undefined ? [] : [`${maxPerDomain} to a value of ${topologyKey}`]),
  ];
  const others =
    required.length === 0
      ? ''
      : ` (rule ${namesOf(required)} allows only those with ${labelText(wantedLabels(required))})`;
  // Easily missed: what Kubernetes calls a zone is a label of nodes, and not of the Pods on them.
  const unlabelled = maxPerDomain === undefined ? 0 : labels.filter((own) => own[topologyKey] === undefined).length;
  const counted =
    unlabelled === 0
      ? ''
      : `; ${unlabelled} of these ${labels.length} brokers have no label ${topologyKey} on their Pods and count as one domain`;
  const remedies = [
    ...(unlabelled === 0 ? [] : [`put the label ${topologyKey} on the broker Pods`]),
    required.length === 0 ? 'start a broker' : `start a broker with ${labelText(wantedLabels(required))}`,
    'raise the limit in spec.placement.spread',
    'or set its whenUnsatisfiable to AssignAnyway',
  ];
  return {
    rule: namesOf([...required, rule]),
    message: `rule ${name} allows ${limits.join(' and ')}, and no broker that may take it has room for one more${others}${counted}; ${remedies.join(', ')}`,
  };
}

function ruledOut(required: Required, why: string): RuledOut {
  const rule = namesOf(required);
  return { rule, message: `rule ${rule} ${why}` };
}

function namesOf(rules: readonly { readonly name: string }[]): string {
  return rules.map(({ name }) => name).join(' and ');
}

function remedy(labels: readonly Label[]): string {
  return `start a broker with ${labelText(labels)}, or change spec.placement.rules`;
}

type Label = readonly [key: string, value: string];

function wantedLabels(required: Required): readonly Label[] {
  const all = required.flatMap(({ brokerSelector }) => Object.entries(brokerSelector.matchLabels));
  return [...new Map(all.map((label) => [label.join('='), label])).values()];
}

function labelText(labels: readonly Label[]): string {
  return `${labels.length === 1 ? 'the label' : 'the labels'} ${labels.map((label) => label.join('=')).join(', ')}`;
}

function listed(names: readonly string[]): string {
  const others = names.length - MOST_NAMED;
  return names.slice(0, MOST_NAMED).join(', ') + (others > 0 ? ` and ${others} more` : '');
}
