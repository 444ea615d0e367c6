/** What a person sees while the demo runs. Pure: text from facts. */
import type { BrokerLoad } from '../../src/api/broker-load.ts';
import type { RebalancePolicy } from '../../src/api/rebalance-policy.ts';
import type { HistoryFold } from './history.ts';

export interface ScreenFacts {
  readonly elapsedSeconds: number;
  readonly brokerLoads: readonly BrokerLoad[];
  readonly policy: RebalancePolicy;
  readonly leader: string;
  readonly history: HistoryFold;
  /** Lines on what happened last, oldest first. */
  readonly log: readonly string[];
}

export function renderScreen(facts: ScreenFacts): string {
  const { policy, history, brokerLoads } = facts;
  const { status } = policy;
  const condition = (type: string) => status?.conditions?.find((one) => one.type === type);
  const topics = history.topics.size;
  const owned = [...history.owners.values()].filter((owners) => owners.size > 0).length;
  const rows = brokerLoads.map((load) => {
    const { status: broker } = load;
    const usable = broker?.conditions?.find((one) => one.type === 'MetricsUsable')?.reason ?? '';
    return [
      load.metadata.name,
      broker?.brokerID ?? '-',
      broker?.state ?? '-',
      broker?.display?.cpu ?? '?',
      broker?.display?.memory ?? '?',
      broker?.display?.in ?? '?',
      broker?.display?.out ?? '?',
      String(broker?.topics ?? 0),
      String(broker?.rank ?? '-'),
      usable === 'Fresh' ? (broker?.usage?.sources.cpu ?? '') : usable,
    ];
  });
  return [
    `${facts.elapsedSeconds} s  policy ${policy.metadata.namespace}/${policy.metadata.name} (${policy.spec.mode})  ` +
      `leads: ${facts.leader || 'nobody'}, epoch ${status?.fencingEpoch ?? '-'}, leader key ${history.leader ?? 'absent'}`,
    `topics ${topics}, with an owner ${owned}, ever owned twice ${history.doublyOwned.size}  ` +
      `Ready ${condition('Ready')?.status ?? '?'}  TopicsServed ${condition('TopicsServed')?.status ?? '?'}` +
      `${condition('TopicsServed')?.status === 'False' ? `: ${condition('TopicsServed')?.message}` : ''}`,
    ...(condition('Balanced')?.status === 'False' ? [`Balanced False: ${condition('Balanced')?.message}`] : []),
    '',
    ...table(['BROKER', 'ID', 'STATE', 'CPU', 'MEMORY', 'IN', 'OUT', 'TOPICS', 'RANK', 'SOURCE'], rows),
    ...(facts.log.length > 0 ? ['', ...facts.log] : []),
  ].join('\n');
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)));
  return [head, ...rows].map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
