/** The command line as users run it: a process of its own, with its output and its largest memory. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';

const MAIN = join(import.meta.dirname, '../../src/cli/main.ts');

/** The process tells on file descriptor 3, as it ends, how much memory it had at most. */
const REPORT_MEMORY = `data:text/javascript,import{writeSync}from'node:fs';process.on('exit',()=>writeSync(3,String(process.resourceUsage().maxRSS)))`;

export interface CommandResult {
  readonly exitCode: number | null;
  readonly out: string;
  readonly err: string;
  readonly largestMemoryMiB: number;
}

/** Runs the command in a folder, where the names of files start. */
export async function runCommand(
  args: readonly string[],
  { folder, input = '' }: { readonly folder: string; readonly input?: string | Buffer },
): Promise<CommandResult> {
  const child = spawn(process.execPath, ['--import', REPORT_MEMORY, MAIN, ...args], {
    cwd: folder,
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
  });
  const [, out, err, memory] = child.stdio;
  const texts = Promise.all([out, err, memory].map((stream) => textOf(stream as AsyncIterable<Buffer>)));
  const closed = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  // A command that refuses its arguments does not read its input.
  child.stdin.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') throw error;
  });
  child.stdin.end(input);
  const [outText = '', errText = '', memoryText = '0'] = await texts;
  return { exitCode: await closed, out: outText, err: errText, largestMemoryMiB: Number(memoryText) / 1024 };
}

async function textOf(stream: AsyncIterable<Buffer>): Promise<string> {
  const blocks: Buffer[] = [];
  for await (const block of stream) blocks.push(block);
  return Buffer.concat(blocks).toString();
}
