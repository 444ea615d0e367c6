/** The file system that the machine's kernel starts with: a cpio archive in the "newc" format, written as it is (no compression: unpacking costs more than reading). */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, realpathSync, writeSync } from 'node:fs';
import { basename, dirname } from 'node:path';

/** Path in the machine → a file of this machine, or text. */
export type MachineFiles = Readonly<Record<string, { readonly from: string } | { readonly text: string }>>;

/** Writes the archive; every file may be executed by all, and the folders are made as needed. */
export function writeInitramfs(target: string, files: MachineFiles): void {
  const file = openSync(target, 'w');
  try {
    const folders = new Set(Object.keys(files).flatMap(foldersAbove));
    for (const folder of [...folders].sort()) writeEntry(file, folder, DIRECTORY, Buffer.alloc(0));
    for (const [path, content] of Object.entries(files)) {
      writeEntry(file, path, REGULAR, 'from' in content ? readFileSync(content.from) : Buffer.from(content.text));
    }
    writeEntry(file, '/TRAILER!!!', 0, Buffer.alloc(0));
  } finally {
    closeSync(file);
  }
}

const REGULAR = 0o100755;
const DIRECTORY = 0o40755;

function foldersAbove(path: string): readonly string[] {
  const parent = dirname(path);
  return parent === '/' ? [] : [...foldersAbove(parent), parent];
}

/** https://docs.kernel.org/driver-api/early-userspace/buffer-format.html */
function writeEntry(file: number, path: string, mode: number, content: Buffer): void {
  const name = path.slice(1);
  const links = mode === DIRECTORY ? 2 : 1;
  // The kernel takes files with the same inode number for hard links only when they have several links.
  const fields = [0, mode, 0, 0, links, 0, content.length, 0, 0, 0, 0, name.length + 1, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${name}\0`;
  writeSync(file, padded(Buffer.from(header)));
  writeSync(file, padded(content));
}

function padded(bytes: Buffer): Buffer {
  const rest = bytes.length % 4;
  return rest === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(4 - rest)]);
}

/** The program at `path` as `/bin/<its name>`, with the shared libraries that it is linked to. */
export function programWithLibraries(path: string): MachineFiles {
  const linked = execFileSync('ldd', [path], { encoding: 'utf8' });
  const libraries = [...linked.matchAll(/(?:=> |^\t)(\/\S+) \(0x/gm)].map((match) => match[1] ?? '');
  return {
    [`/bin/${basename(path)}`]: { from: path },
    ...Object.fromEntries(libraries.map((library) => [library, { from: realpathSync(library) }])),
  };
}
