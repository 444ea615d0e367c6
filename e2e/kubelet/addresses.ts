/** Gives out the addresses of a block, 127.X.1.1 to 127.X.254.254, in turn: one that was given back comes again last. */
export interface Addresses {
  take(): string;
  /** Marks an address as taken that an earlier kubelet gave out; false when somebody else has it, or it is not of the block. */
  reserve(address: string): boolean;
  release(address: string): void;
}

/** 127.X.0.* is left out: the control plane and the Nodes are there. */
const PER_ROW = 254;
const COUNT = PER_ROW * PER_ROW;

/** @param block the first two numbers, such as "127.42". */
export function createAddresses(block: string): Addresses {
  const taken = new Set<string>();
  let next = 0;
  return {
    take() {
      for (let tried = 0; tried < COUNT; tried++) {
        const address = `${block}.${1 + Math.floor(next / PER_ROW)}.${1 + (next % PER_ROW)}`;
        next = (next + 1) % COUNT;
        if (!taken.has(address)) {
          taken.add(address);
          return address;
        }
      }
      throw new Error(`all ${COUNT} Pod addresses of ${block}.0.0/16 are in use`);
    },
    reserve(address) {
      if (!address.startsWith(`${block}.`) || taken.has(address)) return false;
      taken.add(address);
      return true;
    },
    release(address) {
      taken.delete(address);
    },
  };
}
