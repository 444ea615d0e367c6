import { describe, expect, it } from 'vitest';
import { parsePlanCommand } from './plan-options.ts';

const SNAPSHOT = ['--snapshot', 'c.ndjson'];

describe('the command line', () => {
  it('asks for a table of a full plan by default', () => {
    expect(parsePlanCommand(SNAPSHOT)).toEqual({
      snapshot: 'c.ndjson',
      policy: undefined,
      output: 'table',
      mode: 'Full',
      brokers: [],
      question: undefined,
      at: undefined,
      timeLimitSeconds: undefined,
    });
  });

  it('can say everything', () => {
    const args = ['--policy', 'p.yaml', '-o', 'json', '--mode', 'drain', '--broker', 'b1', '--broker', 'b2'];

    expect(
      parsePlanCommand([...SNAPSHOT, ...args, '--at', '2026-11-21T10:00:00+01:00', '--time-limit', '0.5']),
    ).toMatchObject({
      policy: 'p.yaml',
      output: 'json',
      mode: 'Drain',
      brokers: ['b1', 'b2'],
      at: Date.parse('2026-11-21T09:00:00Z'),
      timeLimitSeconds: 0.5,
    });
  });

  it('asks about a topic', () => {
    expect(parsePlanCommand([...SNAPSHOT, '--explain', '/a/b'])).toMatchObject({ question: { topic: '/a/b' } });
    expect(parsePlanCommand([...SNAPSHOT, '--why-not', '/a/b', 'b7'])).toMatchObject({
      question: { topic: '/a/b', broker: 'b7' },
    });
  });

  it('asks for help', () => {
    expect(parsePlanCommand(['--help'])).toBe('help');
  });

  it.each([
    [[], '--snapshot: expected the file of a snapshot'],
    [[...SNAPSHOT, '-o', 'yaml'], '--output: expected table or json, found "yaml"'],
    [[...SNAPSHOT, '--mode', 'Full'], '--mode: expected full, drain, scale-out, hot-spots, found "Full"'],
    [[...SNAPSHOT, '--broker', 'b1'], '--broker: means something only with --mode drain or --mode scale-out'],
    [[...SNAPSHOT, '--why-not', '/a/b'], '--why-not: expected a topic and a broker'],
    [[...SNAPSHOT, '--why-not', '/a/b', 'b1', 'b2'], 'expected an option, found "b2"'],
    [[...SNAPSHOT, '--explain', '/a/b', '--why-not', '/a/b', 'b1'], '--explain and --why-not: expected one of them'],
    [[...SNAPSHOT, 'b1'], 'expected an option, found "b1"'],
    [[...SNAPSHOT, '--at', 'tomorrow'], '--at: expected a time such as 2026-11-21T10:00:00Z, found "tomorrow"'],
    [[...SNAPSHOT, '--at', '2026-13-21T10:00:00Z'], /^--at: expected a time/],
    [[...SNAPSHOT, '--at', '2026-02-30T10:00:00Z'], /^--at: expected a time/],
    [[...SNAPSHOT, '--at', '2026-02-28T24:00:00Z'], /^--at: expected a time/],
    [[...SNAPSHOT, '--time-limit', '1s'], '--time-limit: expected seconds, more than 0, found "1s"'],
    [[...SNAPSHOT, '--policy'], /--policy/],
  ])('is refused as %j', (args, problem) => {
    expect(parsePlanCommand(args)).toEqual({
      problem: typeof problem === 'string' ? problem : expect.stringMatching(problem),
    });
  });
});
