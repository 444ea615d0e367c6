import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/**
 * Runs `work` while nobody else on this machine holds the lock `name`. The lock is a socket in Linux' abstract namespace: the kernel frees
 * it when its holder ends, however that happens, so there is no stale lock to find and take over.
 *
 * @param onWait is told once, with the holder's pid, when another process has it.
 */
export async function withLock<T>(name: string, onWait: (holder: string) => void, work: () => Promise<T>): Promise<T> {
  const path = `\0danube-load-manager/${name}`;
  const waiting = new Set<Socket>();
  const lock = createServer((socket) => {
    waiting.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => waiting.delete(socket));
    socket.write(`process ${process.pid}\n`);
  });
  let told = false;
  while (!(await tryListen(lock, path))) {
    await untilReleased(path, (holder) => {
      if (!told) onWait(holder);
      told = true;
    });
  }
  try {
    return await work();
  } finally {
    lock.close();
    for (const socket of waiting) socket.destroy();
    await once(lock, 'close');
  }
}

async function tryListen(server: Server, path: string): Promise<boolean> {
  server.listen(path);
  try {
    await once(server, 'listening');
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return false;
    throw error;
  }
}

/** A holder keeps our connection open for as long as it has the lock. */
async function untilReleased(path: string, onHolder: (holder: string) => void): Promise<void> {
  const socket = connect(path);
  socket.on('data', (data) => onHolder(data.toString().trim()));
  // A refused or broken connection is a release as well: whoever had the lock is gone. Then comes 'close'.
  socket.on('error', () => undefined);
  await new Promise((resolve) => socket.on('close', resolve));
}
