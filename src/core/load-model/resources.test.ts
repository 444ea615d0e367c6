import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { floors, loadResources } from './resources.ts';

describe('the floors', () => {
  it('are those of the documentation', () => {
    const text = readFileSync(new URL('../../../docs/load-model.md', import.meta.url), 'utf8');
    const rows = [...text.matchAll(/^\| ([\w, ]+) \| ([\d,.]+) (%|kB\/s|messages|for each broker).*\|$/gm)];
    const scale: Readonly<Record<string, number>> = { '%': 0.01, 'kB/s': 1000 };
    const documented = rows.flatMap(([, names = '', value = '', unit = '']) =>
      names.split(', ').map((name) => [name, Number(value.replace(',', '')) * (scale[unit] ?? 1)]),
    );

    expect(Object.fromEntries(documented)).toEqual(
      Object.fromEntries(
        loadResources.map((resource) => [resource, floors[resource].share ?? floors[resource].perBroker]),
      ),
    );
  });
});
