import { describe, expect, it } from 'vitest';
import { createMetrics } from './metrics.ts';

describe('the metrics page', () => {
  it('has every described metric once without labels of its own, and the global label everywhere (contract 7)', () => {
    const metrics = createMetrics('42');
    metrics.add('danube_topic_messages_in_total', { topic: '/default/t' });
    metrics.add('danube_topic_messages_in_total', { topic: '/default/t' }, 2);

    const lines = metrics.render().split('\n');

    expect(lines).toContain('# TYPE danube_topic_messages_in_total counter');
    expect(lines).toContain('danube_topic_messages_in_total{broker="42"} 0');
    expect(lines).toContain('danube_topic_messages_in_total{broker="42",topic="/default/t"} 3');
    expect(lines).toContain('danube_broker_topics_owned{broker="42"} 0');
    expect(lines.filter((line) => line !== '' && !line.startsWith('#') && !line.includes('{broker="42"'))).toEqual([]);
  });

  it('leaves out what has no description until it has a series, as the recorded pages do', () => {
    const metrics = createMetrics('42');

    expect(metrics.render()).not.toContain('danube_wal_append_total');
    metrics.add('danube_wal_append_total', { topic: '/default/t' });
    expect(metrics.render()).toContain(
      '# TYPE danube_wal_append_total counter\ndanube_wal_append_total{broker="42",topic="/default/t"} 1\n',
    );
  });
});
