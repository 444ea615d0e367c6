#!/usr/bin/env node
/** The command line: `danube-load-manager plan …`. */
import { runPlan } from './plan.ts';
import { usage } from './plan-options.ts';
import { printableLines } from './printable.ts';

async function main([command, ...args]: readonly string[]): Promise<void> {
  if (command !== 'plan') {
    const isHelp = command === '--help' || command === '-h';
    const problem = command === undefined ? 'expected a command' : `there is no command ${JSON.stringify(command)}`;
    process.stderr.write(isHelp ? `${usage}\n` : `${printableLines(problem)}\n${usage}\n`);
    process.exitCode = isHelp ? 0 : 2;
    return;
  }
  const { exitCode, out, err } = await runPlan(args, Date.now());
  process.exitCode = exitCode;
  process.stderr.write(printableLines(err));
  process.stdout.write(out);
}

// A reader such as `head` that has seen enough is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
});
