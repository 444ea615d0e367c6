/** Files of a mounted Secret are read once: when they change, the process ends and starts again with them. */
import { createHash } from 'node:crypto';

const CHECK_EVERY_MS = 10_000;

/** Of named contents, to notice a change; undefined = there is no such file. */
export function digestOf(files: Readonly<Record<string, Buffer | undefined>>): string {
  const digest = createHash('sha256');
  for (const [name, content] of Object.entries(files)) {
    digest.update(`${name} ${content?.length ?? 'absent'} `).update(content ?? '');
  }
  return digest.digest('hex');
}

/** Calls back once when `read` gives another digest than `before`; that it throws counts as not changed yet. */
export function watchSecret(before: string, read: () => string, onChange: () => void): { stop(): void } {
  const timer = setInterval(() => {
    let now = before;
    try {
      now = read();
    } catch {
      // A Secret's files are swapped one link at a time; the next look tells.
    }
    if (now === before) return;
    clearInterval(timer);
    onChange();
  }, CHECK_EVERY_MS);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}
