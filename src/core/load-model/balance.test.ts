import { describe, expect, it } from 'vitest';
import { balanceOf } from './balance.ts';
import type { BrokerLoadFigures } from './picture.ts';

const nothing = {
  cpu: null,
  memory: null,
  networkIn: null,
  networkOut: null,
  diskIO: null,
  topics: null,
  connections: null,
  backlog: null,
};
const known: BrokerLoadFigures = {
  broker: '1',
  measuredTopics: 7,
  usage: { ...nothing, cpu: 2, topics: 9 },
  capacity: { ...nothing, cpu: 4 },
  level: { ...nothing, cpu: 1.2, topics: 0.9 },
  isKnown: true,
};

describe('what placement goes by', () => {
  it('is the levels of the brokers that are known, up to half of the band', () => {
    const unknown = { ...known, broker: '2', isKnown: false, level: nothing };

    expect(balanceOf({ brokers: [known, unknown] }, 0.1)).toEqual({
      brokers: new Map([['1', { levels: { cpu: 1.2, topics: 0.9 }, topics: 9, measuredTopics: 7 }]]),
      highestLevel: 1.05,
    });
  });
});
