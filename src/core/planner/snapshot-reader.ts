/**
 * The snapshot format: a header line with the resources and the brokers, then a line per topic (docs: "Snapshots"). It is fed line by
 * line, so that a million topics need no more memory than their numbers. Bad input ends the reading with the line, the field and what
 * was expected.
 */
import { isProblem, type Problem } from '../../api/problem.ts';
import type { PlannerInput } from './input.ts';

export interface PlannerSnapshot {
  readonly input: PlannerInput;
  /** Per broker. */
  readonly labels: readonly Readonly<Record<string, string>>[];
  /** Per topic: 1 = its messages must survive a move. */
  readonly reliable: Uint8Array;
  /** Per topic: producers and consumers. */
  readonly connections: Float64Array;
}

export interface SnapshotReader {
  /** One line without its end; empty lines are skipped. After a problem, further lines are ignored. */
  line(text: string): void;
  finish(): PlannerSnapshot | Problem;
}

interface Header {
  readonly resources: readonly string[];
  readonly brokers: readonly string[];
  readonly capacity: Float64Array;
  readonly labels: readonly Readonly<Record<string, string>>[];
}

type Fields = Readonly<Record<string, unknown>>;

const NOT_MOVABLE = 'NotMovable';

export function createSnapshotReader(): SnapshotReader {
  let number = 0;
  let problem: Problem | undefined;
  let header: Header | undefined;
  let rows: TopicRows | undefined;

  function readLine(text: string): Problem | undefined {
    const fields = parseFields(text);
    if (isProblem(fields)) return fields;
    if (header === undefined || rows === undefined) {
      const read = readHeader(fields);
      if (isProblem(read)) return read;
      header = read;
      rows = createTopicRows(read);
      return undefined;
    }
    return rows.add(fields);
  }

  return {
    line(text) {
      number++;
      if (problem !== undefined || text.trim() === '') return;
      const found = readLine(text);
      if (found !== undefined) problem = { problem: `line ${number}: ${found.problem}` };
    },
    finish() {
      if (problem !== undefined) return problem;
      if (header === undefined || rows === undefined) {
        return { problem: 'the snapshot is empty: expected a first line with "kind": "ClusterSnapshot"' };
      }
      return rows.finish();
    },
  };
}

function parseFields(text: string): Fields | Problem {
  try {
    const value: unknown = JSON.parse(text);
    if (isFields(value)) return value;
    return { problem: 'expected a JSON object' };
  } catch (error) {
    return { problem: `expected a JSON object: ${error instanceof Error ? error.message : String(error)}` };
  }
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function readHeader(fields: Fields): Header | Problem {
  if (fields.kind !== 'ClusterSnapshot') return expected('kind', '"ClusterSnapshot" in the first line', fields.kind);
  if (fields.version !== 1) return expected('version', '1', fields.version);
  const { resources, brokers } = fields;
  if (!isNames(resources)) return expected('resources', 'a list of different names', resources);
  if (!Array.isArray(brokers) || brokers.length === 0)
    return expected('brokers', 'a list of at least one broker', brokers);

  const ids: string[] = [];
  const labels: Readonly<Record<string, string>>[] = [];
  const capacity = new Float64Array(brokers.length * resources.length);
  for (const [index, broker] of brokers.entries()) {
    const field = `brokers[${index}]`;
    if (!isFields(broker)) return expected(field, 'an object with "id" and "capacity"', broker);
    if (typeof broker.id !== 'string' || broker.id === '') return expected(`${field}.id`, 'a name', broker.id);
    const wrong = readNumbers(broker.capacity, capacity, index * resources.length, resources, 'greater than 0');
    if (wrong !== undefined) return expected(`${field}.capacity`, wrong, broker.capacity);
    if (broker.labels !== undefined && !isLabels(broker.labels)) {
      return expected(`${field}.labels`, 'an object of texts', broker.labels);
    }
    ids.push(broker.id);
    labels.push(broker.labels ?? {});
  }
  if (new Set(ids).size < ids.length) {
    const twice = ids.find((id, index) => ids.indexOf(id) !== index);
    return { problem: `brokers: expected each id once, found ${JSON.stringify(twice)} twice` };
  }
  return { resources, brokers: ids, capacity, labels };
}

interface TopicRows {
  add(fields: Fields): Problem | undefined;
  finish(): PlannerSnapshot;
}

function createTopicRows(header: Header): TopicRows {
  const width = header.resources.length;
  const indexOf = new Map(header.brokers.map((id, index) => [id, index]));
  const topics: string[] = [];
  const seen = new Set<string>();
  const reasons: string[] = [];
  let loads = new Float64Array(1024 * width);
  let owner = new Int32Array(1024);
  let reliable = new Uint8Array(1024);
  let connections = new Float64Array(1024);
  let immovable = new Uint8Array(1024);

  function grow(): void {
    const room = owner.length * 2;
    loads = extended(loads, new Float64Array(room * width));
    owner = extended(owner, new Int32Array(room));
    reliable = extended(reliable, new Uint8Array(room));
    connections = extended(connections, new Float64Array(room));
    immovable = extended(immovable, new Uint8Array(room));
  }

  function reasonCode(reason: string): number {
    const known = reasons.indexOf(reason);
    return known >= 0 ? known + 1 : reasons.push(reason);
  }

  return {
    add(fields) {
      const { topic, broker, movable = true, reliable: isReliable = false, connections: clients = 0 } = fields;
      if (typeof topic !== 'string' || topic === '') return expected('topic', 'a name', topic);
      if (seen.has(topic)) return { problem: `topic: expected each topic once, found ${JSON.stringify(topic)} again` };
      const at = typeof broker === 'string' ? indexOf.get(broker) : undefined;
      if (at === undefined) return expected('broker', 'the id of a broker of the first line', broker);
      if (topics.length === owner.length) grow();
      const wrong = readNumbers(fields.load, loads, topics.length * width, header.resources, 'not negative');
      if (wrong !== undefined) return expected('load', wrong, fields.load);
      if (typeof isReliable !== 'boolean') return expected('reliable', 'true or false', isReliable);
      if (typeof clients !== 'number' || !(clients >= 0))
        return expected('connections', 'a number, not negative', clients);
      if (typeof movable !== 'boolean' && (typeof movable !== 'string' || movable === '')) {
        return expected('movable', 'true, or the reason why not', movable);
      }
      const code = movable === true ? 0 : reasonCode(movable === false ? NOT_MOVABLE : movable);
      if (code > 255) return { problem: 'movable: expected at most 255 different reasons in a snapshot' };
      owner[topics.length] = at;
      reliable[topics.length] = Number(isReliable);
      connections[topics.length] = clients;
      immovable[topics.length] = code;
      seen.add(topic);
      topics.push(topic);
      return undefined;
    },
    finish() {
      const count = topics.length;
      return {
        input: {
          resources: header.resources,
          brokers: header.brokers,
          topics,
          capacity: header.capacity,
          loads: loads.subarray(0, count * width),
          owner: owner.subarray(0, count),
          ...(reasons.length > 0 && { immovable: { of: immovable.subarray(0, count), reasons } }),
        },
        labels: header.labels,
        reliable: reliable.subarray(0, count),
        connections: connections.subarray(0, count),
      };
    },
  };
}

function extended<A extends { set(from: A): void }>(from: A, to: A): A {
  to.set(from);
  return to;
}

/** Writes a row of numbers; what was expected if it is not one. */
function readNumbers(
  value: unknown,
  into: Float64Array,
  at: number,
  resources: readonly string[],
  range: 'greater than 0' | 'not negative',
): string | undefined {
  const wanted = `${resources.length} numbers, ${range} (${resources.join(', ')})`;
  if (!Array.isArray(value) || value.length !== resources.length) return wanted;
  for (let index = 0; index < resources.length; index++) {
    const number: unknown = value[index];
    const isRight =
      typeof number === 'number' && Number.isFinite(number) && (range === 'not negative' ? number >= 0 : number > 0);
    if (!isRight) return wanted;
    into[at + index] = number;
  }
  return undefined;
}

function isNames(value: unknown): value is readonly string[] {
  const isList =
    Array.isArray(value) && value.length > 0 && value.every((name) => typeof name === 'string' && name !== '');
  return isList && new Set(value).size === value.length;
}

function isLabels(value: unknown): value is Readonly<Record<string, string>> {
  return isFields(value) && Object.values(value).every((label) => typeof label === 'string');
}

function expected(field: string, what: string, found: unknown): Problem {
  const text = found === undefined ? 'nothing' : (JSON.stringify(found) ?? String(found));
  return { problem: `${field}: expected ${what}, found ${text.length > 80 ? `${text.slice(0, 80)}…` : text}` };
}
