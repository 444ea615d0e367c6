/**
 * Topics by patterns such as `/payments/*`: "*" stands for any number of characters but "/", everything else for itself. A pattern
 * that covers a partitioned topic covers its partitions (contract 2.1: `/ns/t-part-0`; no other topic is named like one).
 */

const PARTITION = /-part-\d+$/;

/** Asks whether a topic matches any of the patterns, in time linear in the length of its name: nothing is tried twice. */
export function createTopicMatcher(patterns: readonly string[]): (topic: string) => boolean {
  if (patterns.length === 0) return () => false;
  const compiled = patterns.map(compilePattern);
  return (topic) => {
    const segments = segmentsOf(topic);
    if (segments === undefined) return false;
    const [namespace, name] = segments;
    const base = name.replace(PARTITION, '');
    const hasBase = base.length < name.length;
    for (const pattern of compiled) {
      if (pattern.namespace(namespace) && (pattern.name(name) || (hasBase && pattern.name(base)))) return true;
    }
    return false;
  };
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
