export interface Loop {
  /** Asks for a pass. While one runs, any number of wakes make one more. */
  wake(): void;
  /** Resolves when no pass runs or is due; a pass that fails is due until it succeeds. */
  idle(): Promise<void>;
  /** No pass starts after this; resolves when the running one is over. */
  stop(): Promise<void>;
}

export interface LoopOptions {
  readonly pass: () => Promise<void>;
  /** Told of a failed pass, which is repeated after `retryMs`. */
  readonly onError: (error: unknown) => void;
  readonly retryMs?: number;
}

/** A level-triggered loop: one pass at a time, each looks at everything, so a lost wake costs nothing but time. */
export function createLoop({ pass, onError, retryMs = 1_000 }: LoopOptions): Loop {
  let due = false;
  let stopped = false;
  let running: Promise<void> | undefined;
  let retry: ReturnType<typeof setTimeout> | undefined;
  const waiting: (() => void)[] = [];

  async function run(): Promise<void> {
    clearTimeout(retry);
    while (due && !stopped) {
      due = false;
      try {
        await pass();
      } catch (error) {
        onError(error);
        due = true;
        retry = setTimeout(start, retryMs);
        break;
      }
    }
    // In one step with the decision to end: a wake from here on starts the next run.
    running = undefined;
    if (!due) for (const resolve of waiting.splice(0)) resolve();
  }

  function start(): void {
    if (!stopped && running === undefined) running = run();
  }

  return {
    wake() {
      due = true;
      start();
    },
    async idle() {
      if ((!due && running === undefined) || stopped) return;
      await new Promise<void>((resolve) => waiting.push(resolve));
    },
    async stop() {
      stopped = true;
      clearTimeout(retry);
      await running;
      for (const resolve of waiting.splice(0)) resolve();
    },
  };
}
