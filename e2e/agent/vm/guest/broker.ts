/**
 * Stands for a broker: listens on the port given, and does on command (a line of JSON on stdin) what costs a known amount, answering with
 * what it knows of itself.
 */
import { spawn } from 'node:child_process';
import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';

export interface Command {
  /** Uses so many seconds of CPU, by its own count. */
  readonly burnSeconds?: number;
  /** Holds so much memory instead of what it held. */
  readonly holdBytes?: number;
  /** Writes to the disk, and waits until it is there. */
  readonly writeBytes?: number;
  readonly readBytes?: number;
  /** Sends to an address. */
  readonly send?: { readonly host: string; readonly port: number; readonly bytes: number };
  /** Opens so many files. */
  readonly openFiles?: number;
  /** Starts a process that wants so much memory at once; answers when it has ended. */
  readonly allocateBytes?: number;
}

export interface Answer {
  /** CPU seconds of this process, by getrusage(2), when it had read the command and when it had done it. */
  readonly usedBefore: number;
  readonly usedAfter: number;
  /** How a process that wanted memory ended. */
  readonly ended?: string;
}

const CHUNK = Buffer.alloc(1024 * 1024, 1);
const held: Buffer[] = [];

function usedSeconds(): number {
  const { userCPUTime, systemCPUTime } = process.resourceUsage();
  return (userCPUTime + systemCPUTime) / 1e6;
}

async function obey(command: Command): Promise<Answer> {
  const usedBefore = usedSeconds();
  if (command.burnSeconds !== undefined) {
    const until = usedSeconds() + command.burnSeconds;
    while (usedSeconds() < until);
  }
  if (command.holdBytes !== undefined) held.splice(0, held.length, Buffer.alloc(command.holdBytes, 1));
  if (command.writeBytes !== undefined) transfer('r+', command.writeBytes, writeSync);
  if (command.readBytes !== undefined) transfer('r', command.readBytes, readSync);
  if (command.send !== undefined) await send(command.send);
  for (let count = 0; count < (command.openFiles ?? 0); count++) openSync('/dev/null', 'r');
  if (command.allocateBytes === undefined) return { usedBefore, usedAfter: usedSeconds() };
  // It offers itself to the kernel, which else takes whoever holds most.
  const allocate = `exec dd if=/dev/zero of=/dev/null count=1 bs=${command.allocateBytes}`;
  const child = spawn('sh', ['-c', `echo 1000 >/proc/self/oom_score_adj; ${allocate}`]);
  const ended = await new Promise<string>((resolve) =>
    child.on('exit', (code, signal) => resolve(`${signal ?? code}`)),
  );
  return { usedBefore, usedAfter: usedSeconds(), ended };
}

function transfer(flags: string, bytes: number, step: (file: number, chunk: Buffer) => number): void {
  const disk = openSync('/dev/vda', flags);
  for (let done = 0; done < bytes; done += CHUNK.length) step(disk, CHUNK);
  if (flags === 'r+') fsyncSync(disk);
  closeSync(disk);
}

async function send({ host, port, bytes }: { host: string; port: number; bytes: number }): Promise<void> {
  const socket = connect(port, host);
  for (let done = 0; done < bytes; done += CHUNK.length) {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.write(CHUNK, () => {
        socket.off('error', reject);
        resolve();
      });
    });
  }
  await new Promise<void>((resolve) => socket.end(resolve));
}

const server = createServer((socket) => socket.resume());
server.listen(Number(process.argv[2]), '0.0.0.0', () => process.stdout.write('{"usedBefore":0,"usedAfter":0}\n'));
for await (const line of createInterface(process.stdin)) {
  const answer = await obey(JSON.parse(line));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit();
