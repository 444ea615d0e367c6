import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Pressure } from '../api/agent-report.ts';
import { createFakeMachine, type FakeMachine } from './fake-machine.ts';
import { readPressure } from './pressure.ts';
import { createRates, type Rates } from './rates.ts';

let machine: FakeMachine;
let seconds: number;
let rates: Rates;
beforeEach(() => {
  machine = createFakeMachine();
  seconds = 0;
  rates = createRates(() => seconds * 1000);
});
afterEach(() => machine.delete());

function readAt(moment: number, someSeconds: number): Pressure | null {
  seconds = moment;
  machine.write({ '/cg/io.pressure': `some avg10=0.00 avg60=0.00 avg300=0.00 total=${someSeconds * 1e6}\n` });
  const directory = { version: 2, path: `${machine.procRoot}/../cg`, above: [] } as const;
  return readPressure({ directory, resource: 'io', run: '42:1', rates });
}

it('is the share of the interval that was waited, unknown at first', () => {
  expect(readAt(0, 5)).toEqual({ someShare: null, fullShare: null });
  expect(readAt(2, 5.5)).toEqual({ someShare: 0.25, fullShare: null });
});

it('is never more than all of it, though the kernel adds up late', () => {
  readAt(0, 5);

  expect(readAt(2, 7.001)?.someShare).toBe(1);
});

it('is unknown where the kernel counts none', () => {
  const directory = { version: 2, path: `${machine.procRoot}/../cg`, above: [] } as const;

  expect(readPressure({ directory, resource: 'io', run: '42:1', rates })).toBeNull();
  expect(readPressure({ directory: null, resource: 'io', run: '42:1', rates })).toBeNull();
});
