export interface UntilOptions {
  /** What is waited for, in the words of an error: 'the API server to be ready'. */
  readonly what: string;
  /** Default: a minute. Patience costs a test that passes nothing, and a machine that is busy with other things needs it. */
  readonly timeoutMs?: number;
  /** How often the condition is asked; default 50 ms. */
  readonly intervalMs?: number;
  /** Ends the wait early, with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * Asks `condition` until it gives something other than undefined or false, and returns that. A condition that throws counts as
 * "not yet"; its last error is the cause of the timeout's error, so nothing is swallowed.
 *
 * @throws Error when `timeoutMs` are over, or the signal's reason.
 */
export async function until<T>(
  condition: () => Promise<T | undefined | false> | T | undefined | false,
  { what, timeoutMs = 60_000, intervalMs = 50, signal }: UntilOptions,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let lastError: unknown;
  for (;;) {
    signal?.throwIfAborted();
    try {
      const result = await condition();
      if (result !== undefined && result !== false) return result;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (performance.now() > deadline) {
      const why = lastError instanceof Error ? `: ${lastError.message}` : '';
      throw new Error(`waited ${timeoutMs / 1000} s in vain for ${what}${why}`, { cause: lastError });
    }
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}
