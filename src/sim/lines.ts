/** Newline-delimited JSON over a stream: the whole wire format between simulated brokers and clients. */
import type { Socket } from 'node:net';

/** Calls `handle` with every complete line; an unfinished last line is dropped with the connection. */
export function onLines(socket: Socket, handle: (line: string) => void): void {
  let rest = '';
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) handle(line);
  });
}

export function writeLine(socket: Socket, message: unknown): void {
  if (!socket.destroyed) socket.write(`${JSON.stringify(message)}\n`);
}
