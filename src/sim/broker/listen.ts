import type { Server } from 'node:net';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** @throws Error when the text is not HOST:PORT */
export function parseAddress(text: string): Address {
  const at = text.lastIndexOf(':');
  const port = Number(text.slice(at + 1));
  if (at <= 0 || !Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new Error(`"${text}" is not an address; write HOST:PORT`);
  }
  return { host: text.slice(0, at), port };
}

/** Resolves when connections are accepted. @throws Error when the address is taken or not ours */
export function listen(server: Server, { host, port }: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
