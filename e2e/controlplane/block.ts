import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/** A /16 of the loopback network that is ours for the run: "127.42" stands for 127.42.0.0/16. */
export interface Block {
  readonly block: string;
  /** Where servers of the run listen: 127.X.0.1. */
  readonly address: string;
  release(): Promise<void>;
}

const LOCK_PORT = 17_410;
const FIRST_BLOCK = 2;
const LAST_BLOCK = 250;

/**
 * Takes a free block by listening on a fixed port of its first address, which the kernel lets only one process do and gives back when that
 * process ends, however it ends. So runs live side by side without knowing of each other.
 */
export async function claimBlock(): Promise<Block> {
  const count = LAST_BLOCK - FIRST_BLOCK + 1;
  const offset = randomInt(count);
  for (let i = 0; i < count; i++) {
    const block = `127.${FIRST_BLOCK + ((offset + i) % count)}`;
    const address = `${block}.0.1`;
    const lock = createServer((socket) => socket.destroy());
    lock.unref();
    lock.listen(LOCK_PORT, address);
    try {
      await once(lock, 'listening');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') continue;
      throw error;
    }
    return {
      block,
      address,
      release: async () => {
        lock.close();
        await once(lock, 'close');
      },
    };
  }
  throw new Error(
    `all of 127.${FIRST_BLOCK}.0.0 to 127.${LAST_BLOCK}.0.0 are in use by other runs, or port ${LOCK_PORT} is`,
  );
}

/**
 * A port nobody listens on. Between the answer and its use only somebody with the same address could take it, and the block is ours.
 */
export async function freePort(address: string): Promise<number> {
  const probe = createServer();
  probe.listen(0, address);
  await once(probe, 'listening');
  const bound = probe.address();
  probe.close();
  await once(probe, 'close');
  if (bound === null || typeof bound === 'string') throw new Error(`no TCP port could be bound on ${address}`);
  return bound.port;
}
