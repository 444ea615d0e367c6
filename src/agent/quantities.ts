/* Kubernetes quantities, as far as the downward API and people write limits. */

/** `1.5`, `1500m`: cores. Null for anything else. */
export function parseCores(text: string): number | null {
  const [, digits, milli] = /^(\d{1,9}(?:\.\d{1,9})?)(m?)$/.exec(text) ?? [];
  if (digits === undefined) return null;
  return milli === 'm' ? Number(digits) / 1000 : Number(digits);
}

const binary = { '': 1, Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40 };
const decimal = { k: 1e3, M: 1e6, G: 1e9, T: 1e12 };
const factors = new Map(Object.entries({ ...binary, ...decimal }));

/** `536870912`, `512Mi`, `1.5G`: bytes. Null for anything else. */
export function parseBytes(text: string): number | null {
  const [, digits, unit = ''] = /^(\d{1,16}(?:\.\d{1,9})?)([A-Za-z]*)$/.exec(text) ?? [];
  const factor = factors.get(unit);
  return digits === undefined || factor === undefined ? null : Number(digits) * factor;
}
