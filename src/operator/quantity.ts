/** Kubernetes quantities: `50m`, `1.5`, `1e3`, `512Mi`. */
const PATTERN = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d+)|([numkMGTPE]|[KMGTPE]i))?$/;

const FACTORS: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 1024,
  Mi: 1024 ** 2,
  Gi: 1024 ** 3,
  Ti: 1024 ** 4,
  Pi: 1024 ** 5,
  Ei: 1024 ** 6,
};

/** In whole units (cores, bytes); undefined for what is absent or no quantity. */
export function parseQuantity(text: string | undefined): number | undefined {
  const match = PATTERN.exec(text ?? '');
  if (match === null) return undefined;
  const [, digits, exponent = '0', suffix] = match;
  return Number(`${digits}e${exponent}`) * (suffix === undefined ? 1 : (FACTORS[suffix] ?? Number.NaN));
}
