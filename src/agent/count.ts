/** A whole number as the kernel prints it, up to 64 bits; null for anything else, a missing text included. */
export function parseCount(text: string | undefined): number | null {
  const digits = text?.trim() ?? '';
  return /^\d{1,20}$/.test(digits) ? Number(digits) : null;
}
