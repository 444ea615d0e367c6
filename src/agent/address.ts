import { isIP } from 'node:net';
import type { Problem } from '../api/problem.ts';

/** An IP address, as written, and a TCP port. Names are not resolved: sockets listen on addresses. */
export interface SocketAddress {
  readonly ip: string;
  readonly port: number;
}

/**
 * Reads `10.0.0.7:6650` or `[fd00::7]:6650`, and `fd00::7:6650`, which `$(POD_IP):6650` becomes: the port is what follows
 * the last colon.
 */
export function parseSocketAddress(text: string): SocketAddress | Problem {
  const match = /^(?:\[([^\]]+)\]|([^[\]]+)):(\d{1,5})$/.exec(text);
  const ip = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3] ?? Number.NaN);
  if (canonicalIp(ip) === null || !(port <= 65_535)) {
    return { problem: `"${text}" is no IP address and port; write 10.0.0.7:6650 or [fd00::7]:6650` };
  }
  return { ip, port };
}

export function formatSocketAddress({ ip, port }: SocketAddress): string {
  return isIP(ip) === 6 ? `[${ip}]:${port}` : `${ip}:${port}`;
}

/**
 * One spelling for each address: IPv6 in its shortest form, IPv4 mapped into IPv6, as a dual-stack socket shows it.
 * Null for anything else, an address with a zone (`fe80::1%eth0`) included.
 */
export function canonicalIp(ip: string): string | null {
  const version = isIP(ip);
  if (version === 0 || ip.includes('%')) return null;
  return new URL(`http://[${version === 4 ? `::ffff:${ip}` : ip}]`).hostname.slice(1, -1);
}
