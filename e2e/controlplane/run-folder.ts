import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isOwnerAlive, ownerTag } from '../process/owner.ts';

const PREFIX = 'danube-load-manager-';

/**
 * Makes the folder of a run, and first removes those that killed runs left behind. The owner stands in the name (`…-<pid>-<start>-x7f3Ab`),
 * so there is no moment at which a new folder has none.
 */
export function makeRunFolder(parent: string = tmpdir()): string {
  for (const name of readdirSync(parent)) {
    const owner = /^danube-load-manager-(\d+-\d+)-/.exec(name)?.[1];
    if (owner !== undefined && !isOwnerAlive(owner)) removeFolder(join(parent, name));
  }
  return mkdtempSync(join(parent, `${PREFIX}${ownerTag()}-`));
}

/** Removes a folder, also while a process that is just being killed still writes into it. */
export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
}
