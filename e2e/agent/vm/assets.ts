/**
 * What the virtual machine is made of: an emulator, a kernel with its modules, and busybox. From AGENT_VM_ROOT if set, else from Debian
 * packages in the cache. `node e2e/agent/vm/assets.ts` fetches them alone.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fetchDebianPackages } from '../debian.ts';

/** Absolute paths. */
export interface MachineAssets {
  readonly emulator: string;
  /** Folders with the firmware that the emulator loads. */
  readonly firmware: readonly string[];
  /** Folders with the libraries that the emulator needs besides the system's own. */
  readonly libraries: readonly string[];
  readonly kernel: string;
  /** In the order in which they are loaded. */
  readonly kernelModules: readonly string[];
  readonly busybox: string;
}

export interface MachineAssetsOptions {
  readonly log: (line: string) => void;
  /** AGENT_VM_ROOT and the variables of the cache are read from here; default: the environment. */
  readonly env?: NodeJS.ProcessEnv;
}

const PACKAGES = ['qemu-system-x86', 'linux-image-cloud-amd64', 'busybox-static'];

/** A disk, and pairs of network devices. */
const MODULES = [
  'virtio/virtio_ring',
  'virtio/virtio',
  'virtio/virtio_pci_modern_dev',
  'virtio/virtio_pci_legacy_dev',
  'virtio/virtio_pci',
  'block/virtio_blk',
  'net/veth',
].map((name) => `kernel/drivers/${name}.ko`);

/** @throws Error that says what to install or set. */
export async function ensureMachineAssets({ log, env = process.env }: MachineAssetsOptions): Promise<MachineAssets> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(
      `The virtual machine runs this machine's own Node, so it needs Linux on x86-64, not ${process.platform} on ${process.arch}.`,
    );
  }
  const provided = env.AGENT_VM_ROOT || undefined;
  const root =
    provided ??
    (await fetchDebianPackages({ name: 'vm', packages: PACKAGES, withLibraries: ['qemu-system-x86'], log, env }));
  // Newer Debian packages have everything below usr.
  const at = (path: string): string => [join(root, path), join(root, 'usr', path)].find(existsSync) ?? join(root, path);
  const modules = at('lib/modules');
  const release = existsSync(modules) ? readdirSync(modules).find((name) => name.endsWith('-cloud-amd64')) : undefined;
  const assets: MachineAssets = {
    emulator: join(root, 'usr/bin/qemu-system-x86_64'),
    firmware: [join(root, 'usr/share/qemu'), join(root, 'usr/share/seabios')],
    libraries: [join(root, 'usr/lib/x86_64-linux-gnu'), join(root, 'lib/x86_64-linux-gnu')],
    kernel: join(root, `boot/vmlinuz-${release}`),
    kernelModules: MODULES.map((path) => join(modules, release ?? 'none', path)),
    busybox: at('bin/busybox'),
  };
  const missing = Object.values(assets)
    .flat()
    .filter((path) => !existsSync(path) && !assets.libraries.includes(path));
  if (missing.length > 0) {
    throw new Error(
      `The virtual machine lacks ${missing.join(', ')}.\n` +
        (provided === undefined
          ? `Delete ${root} to fetch it anew.`
          : `AGENT_VM_ROOT must be like the root of a Debian with ${PACKAGES.join(', ')} ("/" if they are installed here); without it they are fetched.`),
    );
  }
  return assets;
}

if (import.meta.main) {
  try {
    const assets = await ensureMachineAssets({ log: (line) => process.stderr.write(`${line}\n`) });
    process.stdout.write(`${JSON.stringify(assets, null, 2)}\n`);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    process.exitCode = 1;
  }
}
