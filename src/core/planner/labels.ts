/** Brokers' labels as the planner's masks and domains. */
import type { PlacementRule } from './input.ts';

type Labels = Readonly<Record<string, string>>;

/** The rule that topics may live on the brokers that have all of `matchLabels`. */
export function ruleByLabels(name: string, labels: readonly Labels[], matchLabels: Labels): PlacementRule {
  const wanted = Object.entries(matchLabels);
  const matches = (own: Labels): boolean => wanted.every(([key, value]) => own[key] === value);
  return { name, allowed: Uint8Array.from(labels, (own) => Number(matches(own))) };
}

/** Domains by the values of one label, in the order of their names; brokers without the label share the domain ''. */
export function domainsByLabel(
  labels: readonly Labels[],
  key: string,
): { readonly domainOf: Int32Array; readonly domains: readonly string[] } {
  const domains = [...new Set(labels.map((own) => own[key] ?? ''))].sort();
  return { domains, domainOf: Int32Array.from(labels, (own) => domains.indexOf(own[key] ?? '')) };
}
