/**
 * Topics by patterns such as `/payments/*`: "*" stands for any number of characters but "/", everything else for itself. A pattern
 * that covers a partitioned topic covers its partitions (contract 2.1: `/ns/t-part-0`; no other topic is named like one).
 */

const PARTITION = /-part-\d+$/;

/** Asks whether a topic matches any of the patterns, in time linear in the length of its name: nothing is tried twice. */
export function createTopicMatcher(patterns: readonly string[]): (topic: string) => boolean {
  const listsOf = createListMatcher([patterns]);
  return (topic) => listsOf(topic) !== 0;
}

/** Bits of a number in JavaScript, but for the sign. */
const MOST_LISTS = 31;

/** Asks which of at most 31 lists of patterns cover a topic: bit n is set if list n does. A topic's name is taken apart once for all. */
export function createListMatcher(lists: readonly (readonly string[])[]): (topic: string) => number {
  if (lists.length > MOST_LISTS)
    throw new RangeError(`${lists.length} lists of patterns, at most ${MOST_LISTS} are asked for at once`);
  const compiled = lists.flatMap((patterns, list) =>
    patterns.map((text) => ({ bit: 1 << list, ...compilePattern(text) })),
  );
  if (compiled.length === 0) return () => 0;
  let lastNamespace: string | undefined;
  let ofNamespace = compiled;
  return (topic) => {
    const segments = segmentsOf(topic);
    if (segments === undefined) return 0;
    const [namespace, name] = segments;
    // Topics mostly come in order, many of a namespace one after the other.
    if (namespace !== lastNamespace) {
      ofNamespace = compiled.filter((pattern) => pattern.namespace(namespace));
      lastNamespace = namespace;
    }
    const base = withoutPartition(name);
    const hasBase = base.length < name.length;
    let found = 0;
    for (const pattern of ofNamespace) {
      if ((found & pattern.bit) !== 0) continue;
      if (pattern.name(name) || (hasBase && pattern.name(base))) found |= pattern.bit;
    }
    return found;
  };
}

/** The name of the topic that this one is a partition of; its own if it is none. */
export function withoutPartition(topic: string): string {
  const at = topic.lastIndexOf('-part-');
  return at < 0 || !PARTITION.test(topic) ? topic : topic.slice(0, at);
}

interface Pattern {
  readonly namespace: (text: string) => boolean;
  readonly name: (text: string) => boolean;
}

function compilePattern(pattern: string): Pattern {
  const segments = segmentsOf(pattern);
  if (segments === undefined) return { namespace: () => false, name: () => false };
  return { namespace: compileSegment(segments[0]), name: compileSegment(segments[1]) };
}

function segmentsOf(text: string): readonly [namespace: string, name: string] | undefined {
  const between = text.indexOf('/', 1);
  if (!text.startsWith('/') || between < 0 || text.indexOf('/', between + 1) >= 0) return undefined;
  return [text.slice(1, between), text.slice(between + 1)];
}

/** The parts between stars are looked for from left to right: the first place is as good as any later one. */
function compileSegment(segment: string): (text: string) => boolean {
  const [head = '', ...rest] = segment.split('*');
  const tail = rest.pop();
  if (tail === undefined) return (text) => text === head;
  const middle = rest.filter((part) => part !== '');
  return (text) => {
    if (text.length < head.length + tail.length || !text.startsWith(head) || !text.endsWith(tail)) return false;
    const end = text.length - tail.length;
    let at = head.length;
    for (const part of middle) {
      const found = text.indexOf(part, at);
      if (found < 0 || found + part.length > end) return false;
      at = found + part.length;
    }
    return true;
  };
}
