/** The item of the highest value, ties by the lowest item; values may change. Old entries are dropped when they surface. */
export interface PriorityQueue {
  set(item: number, value: number): void;
  remove(item: number): void;
  best(): number | undefined;
}

interface Entry {
  readonly item: number;
  readonly value: number;
}

export function createPriorityQueue(): PriorityQueue {
  const heap: Entry[] = [];
  const current = new Map<number, number>();

  function precedes(a: Entry, b: Entry): boolean {
    return a.value > b.value || (a.value === b.value && a.item < b.item);
  }

  function push(entry: Entry): void {
    let at = heap.length;
    for (; at > 0; at = (at - 1) >> 1) {
      const parent = heap[(at - 1) >> 1] as Entry;
      if (!precedes(entry, parent)) break;
      heap[at] = parent;
    }
    heap[at] = entry;
  }

  function pop(): void {
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      const right = heap[child + 1];
      if (right !== undefined && precedes(right, heap[child] as Entry)) child++;
      if (!precedes(heap[child] as Entry, last)) break;
      heap[at] = heap[child] as Entry;
      at = child;
    }
    heap[at] = last;
  }

  return {
    set(item, value) {
      current.set(item, value);
      push({ item, value });
    },
    remove(item) {
      current.delete(item);
    },
    best() {
      for (let top = heap[0]; top !== undefined; top = heap[0]) {
        if (current.get(top.item) === top.value) return top.item;
        pop();
      }
      return undefined;
    },
  };
}
