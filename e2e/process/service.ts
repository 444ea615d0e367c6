import { describeExit, type Exit, type ManagedProcess } from './tied.ts';

/** A server that a test may kill, stop with SIGSTOP and start again, with the same flags and data. */
export interface Service {
  readonly name: string;
  /** The present process: another one after each restart. */
  process(): ManagedProcess;
  kill(signal: NodeJS.Signals): void;
  /** Ends the process if it still runs (SIGTERM, then SIGKILL), starts it again and waits until it is ready. */
  restart(): Promise<void>;
  stop(graceMs?: number): Promise<Exit>;
}

export interface ServiceOptions {
  readonly name: string;
  readonly launch: () => ManagedProcess;
  /** Resolves when the server can be used; it should end with the signal's reason once that is aborted. */
  readonly ready: (signal: AbortSignal) => Promise<unknown>;
}

/**
 * Starts a server and waits until it is ready.
 *
 * @throws Error with the end of the server's log, at once when it dies before it is ready; the reason of `ready` otherwise. In both
 * cases the process is gone.
 */
export async function startService({ name, launch, ready }: ServiceOptions): Promise<Service> {
  let current = await launchAndWait();

  async function launchAndWait(): Promise<ManagedProcess> {
    const launched = launch();
    const giveUp = new AbortController();
    const died = launched.exited.then((exit) => {
      throw new Error(
        `${name} ended (${describeExit(exit)}) before it was ready. The end of its log:\n${launched.logTail()}`,
      );
    });
    const waiting = ready(giveUp.signal);
    try {
      await Promise.race([waiting, died]);
      return launched;
    } catch (error) {
      giveUp.abort(error);
      await launched.stop(0);
      throw error;
    } finally {
      // Whichever of the two lost the race ends later, and nobody is interested any more.
      for (const loser of [waiting, died]) loser.catch(() => undefined);
    }
  }

  return {
    name,
    process: () => current,
    kill: (signal) => current.kill(signal),
    restart: async () => {
      await current.stop();
      current = await launchAndWait();
    },
    stop: (graceMs) => current.stop(graceMs),
  };
}
