import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { brokerLoadResource } from './broker-load.ts';
import { brokerConditions, policyConditions } from './conditions.ts';
import { type Schema, toCrd, toStructural } from './crd.ts';
import { generatedFiles } from './generated-files.ts';
import { rebalancePolicyResource } from './rebalance-policy.ts';

const root = join(import.meta.dirname, '../..');
const files = generatedFiles();
const reference = files.get('docs/api.md') ?? '';

describe('the generated files', () => {
  it.each([...files])('has %s in the repository as the schemas make it', (path, content) => {
    expect(readFileSync(join(root, path), 'utf8'), 'run npm run generate').toBe(content);
  });

  it.each([rebalancePolicyResource, brokerLoadResource])(
    'writes YAML that reads back as the definition of $kind',
    (resource) => {
      const yaml = files.get(`crds/loadmanager.danube.io_${resource.plural}.yaml`) ?? '';

      expect(parse(yaml)).toEqual(JSON.parse(JSON.stringify(toCrd(resource))));
    },
  );
});

describe('the API reference', () => {
  it.each([rebalancePolicyResource, brokerLoadResource])('lists every field of $kind', ({ schema }) => {
    const missing = fieldPaths(toStructural(schema), '').filter((path) => !reference.includes(`| \`${path}\` |`));

    expect(missing).toEqual([]);
  });

  it.each([policyConditions, brokerConditions])('explains every condition and reason', (catalogue) => {
    const rows = Object.values(catalogue).flatMap(({ reasons }) =>
      Object.entries<{ status: string; means: string }>(reasons).map(
        ([reason, { status, means }]) => `| ${status} | ${reason} | ${means} |`,
      ),
    );

    expect(rows.filter((row) => !reference.includes(row))).toEqual([]);
  });

  it('leaves no word in angle brackets to be taken for HTML', () => {
    const text = reference.replace(/`[^`]*`/g, '').replace(/<!--.*?-->/gs, '');

    expect(text).not.toMatch(/<[a-z]/);
  });
});

function fieldPaths(schema: Schema, prefix: string): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => [
    `${prefix}${name}`,
    ...fieldPaths(field.items ?? field, `${prefix}${name}${field.items === undefined ? '' : '[]'}.`),
  ]);
}
