import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

/** What the Prometheus endpoint of a real Danube 0.7.3 broker answered. For tests. */
export function readFixture(name: 'metrics-busy' | 'metrics-quiet'): string {
  return gunzipSync(readFileSync(new URL(`./fixtures/${name}.txt.gz`, import.meta.url))).toString();
}
