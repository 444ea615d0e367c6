/**
 * The snapshot format: a header line with the resources and the brokers, then a line per topic (docs/plan.md). It is fed line by
 * line, so that a million topics need no more memory than their numbers. Bad input ends the reading with the line, the field and what
 * was expected.
 */
import { isProblem, type Problem } from '../../api/problem.ts';
import { BrokerRole, type PlannerInput } from './input.ts';

export interface PlannerSnapshot {
  readonly input: PlannerInput;
  /** Per broker. */
  readonly labels: readonly Readonly<Record<string, string>>[];
  /** Per topic: 1 = its messages must survive a move. */
  readonly reliable: Uint8Array;
  /** Per topic: producers and consumers. */
  readonly connections: Float64Array;
  /** Per topic, seconds; infinite where unknown. Absent = unknown of all. */
  readonly ageSeconds?: Float64Array;
  /** Per topic, seconds since its last move; infinite where unknown. Absent = unknown of all. */
  readonly movedSecondsAgo?: Float64Array;
  /** Fields that mean nothing here, each with the line where it came first: a misspelt one is better seen. */
  readonly ignored: readonly string[];
}

export interface SnapshotReader {
  /** One line without its end; empty lines are skipped. False once there is a problem: further lines are ignored. */
  line(text: string): boolean;
  finish(): PlannerSnapshot | Problem;
}

interface Header {
  readonly resources: readonly string[];
  readonly brokers: readonly string[];
  readonly capacity: Float64Array;
  readonly labels: readonly Readonly<Record<string, string>>[];
  readonly roles: Uint8Array;
}

type Fields = Readonly<Record<string, unknown>>;

const NOT_MOVABLE = 'NotMovable';

/** So that hostile input cannot fill the memory: far beyond what a cluster has. */
const MOST_RESOURCES = 32;
const MOST_BROKERS = 20_000;
const MOST_TOPICS = 5_000_000;
const LONGEST_NAME = 1024;
const MOST_IGNORED = 10;
const MOST_REASONS = 200;
/** More than a message has room for. */
const MOST_SHOWN = 50;

/** States of brokers in a snapshot, as a BrokerLoad has them. */
const ROLES: ReadonlyMap<unknown, number> = new Map([
  ['Active', BrokerRole.Active],
  ['Cordoned', BrokerRole.Closed],
  ['Draining', BrokerRole.Draining],
]);

const HEADER_FIELDS: ReadonlySet<string> = new Set(['kind', 'version', 'resources', 'brokers']);
const BROKER_FIELDS: ReadonlySet<string> = new Set(['id', 'capacity', 'labels', 'state']);
const TOPIC_FIELDS: ReadonlySet<string> = new Set([
  'topic',
  'broker',
  'load',
  'reliable',
  'connections',
  'movable',
  'ageSeconds',
  'movedSecondsAgo',
]);

export function createSnapshotReader(): SnapshotReader {
  let number = 0;
  let problem: Problem | undefined;
  let header: Header | undefined;
  let rows: TopicRows | undefined;
  const ignored = new Map<string, string>();

  function note(fields: Fields, known: ReadonlySet<string>): void {
    for (const field in fields) {
      if (known.has(field) || ignored.size >= MOST_IGNORED || ignored.has(field)) continue;
      ignored.set(field, `line ${number}: ${JSON.stringify(shortened(field))} is not a field`);
    }
  }

  function readLine(text: string): Problem | undefined {
    const fields = parseFields(text);
    if (isProblem(fields)) return fields;
    if (header === undefined || rows === undefined) {
      const read = readHeader(fields);
      if (isProblem(read)) return read;
      header = read;
      rows = createTopicRows(read);
      note(fields, HEADER_FIELDS);
      for (const broker of fields.brokers as readonly Fields[]) note(broker, BROKER_FIELDS);
      return undefined;
    }
    note(fields, TOPIC_FIELDS);
    return rows.add(fields);
  }

  return {
    line(text) {
      number++;
      if (problem === undefined && text.trim() !== '') {
        const found = readLine(text);
        if (found !== undefined) problem = { problem: `line ${number}: ${found.problem}` };
      }
      return problem === undefined;
    },
    finish() {
      if (problem !== undefined) return problem;
      if (header === undefined || rows === undefined) {
        return { problem: 'the snapshot is empty: expected a first line with "kind": "ClusterSnapshot"' };
      }
      return { ...rows.finish(), ignored: [...ignored.values()] };
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
  if (!isNames(resources) || resources.length > MOST_RESOURCES)
    return expected('resources', `a list of 1 to ${MOST_RESOURCES} different names`, resources);
  if (!Array.isArray(brokers) || brokers.length === 0)
    return expected('brokers', 'a list of at least one broker', brokers);
  if (brokers.length > MOST_BROKERS)
    return { problem: `brokers: expected at most ${MOST_BROKERS}, found ${brokers.length}` };

  const ids: string[] = [];
  const labels: Readonly<Record<string, string>>[] = [];
  const capacity = new Float64Array(brokers.length * resources.length);
  const roles = new Uint8Array(brokers.length);
  for (const [index, broker] of brokers.entries()) {
    const field = `brokers[${index}]`;
    if (!isFields(broker)) return expected(field, 'an object with "id" and "capacity"', broker);
    if (!isName(broker.id)) return expected(`${field}.id`, NAME, broker.id);
    const wrong = readNumbers(broker.capacity, capacity, index * resources.length, resources, CAPACITIES);
    if (wrong !== undefined) return expected(`${field}.capacity`, wrong, broker.capacity);
    if (broker.labels !== undefined && !isLabels(broker.labels)) {
      return expected(`${field}.labels`, 'an object of texts', broker.labels);
    }
    const role = ROLES.get(broker.state ?? 'Active');
    if (role === undefined) return expected(`${field}.state`, [...ROLES.keys()].join(', '), broker.state);
    roles[index] = role;
    ids.push(broker.id);
    labels.push(broker.labels ?? {});
  }
  if (new Set(ids).size < ids.length) {
    const twice = ids.find((id, index) => ids.indexOf(id) !== index);
    return { problem: `brokers: expected each id once, found ${JSON.stringify(twice)} twice` };
  }
  return { resources, brokers: ids, capacity, labels, roles };
}

interface TopicRows {
  add(fields: Fields): Problem | undefined;
  finish(): Omit<PlannerSnapshot, 'ignored'>;
}

function createTopicRows(header: Header): TopicRows {
  const width = header.resources.length;
  const indexOf = new Map(header.brokers.map((id, index) => [id, index]));
  const topics: string[] = [];
  const seen = new Set<string>();
  const reasons: string[] = [];
  let loads: Float64Array = new Float64Array(1024 * width);
  let owner = new Int32Array(1024);
  let reliable = new Uint8Array(1024);
  let connections = new Float64Array(1024);
  let immovable = new Uint8Array(1024);
  let ageSeconds: Float64Array | undefined;
  let movedSecondsAgo: Float64Array | undefined;

  function grow(): void {
    const room = owner.length * 2;
    loads = extended(loads, new Float64Array(room * width));
    owner = extended(owner, new Int32Array(room));
    reliable = extended(reliable, new Uint8Array(room));
    connections = extended(connections, new Float64Array(room));
    immovable = extended(immovable, new Uint8Array(room));
    if (ageSeconds !== undefined) ageSeconds = extended(ageSeconds, unknownTimes(room));
    if (movedSecondsAgo !== undefined) movedSecondsAgo = extended(movedSecondsAgo, unknownTimes(room));
  }

  function reasonCode(reason: string): number {
    const known = reasons.indexOf(reason);
    return known >= 0 ? known + 1 : reasons.push(reason);
  }

  return {
    add(fields) {
      const { topic, broker, movable = true, reliable: isReliable = false, connections: clients = 0 } = fields;
      if (!isName(topic)) return expected('topic', NAME, topic);
      if (topics.length === MOST_TOPICS) return { problem: `expected at most ${MOST_TOPICS} topics` };
      if (seen.has(topic)) return { problem: `topic: expected each topic once, found ${JSON.stringify(topic)} again` };
      const at = typeof broker === 'string' ? indexOf.get(broker) : undefined;
      if (at === undefined) return expected('broker', 'the id of a broker of the first line', broker);
      if (topics.length === owner.length) grow();
      const wrong = readNumbers(fields.load, loads, topics.length * width, header.resources, LOADS);
      if (wrong !== undefined) return expected('load', wrong, fields.load);
      if (typeof isReliable !== 'boolean') return expected('reliable', 'true or false', isReliable);
      if (!isCount(clients)) return expected('connections', 'a number, not negative', clients);
      if (typeof movable !== 'boolean' && (typeof movable !== 'string' || movable === '')) {
        return expected('movable', 'true, or the reason why not', movable);
      }
      if (fields.ageSeconds !== undefined) {
        if (!isCount(fields.ageSeconds)) return expected('ageSeconds', 'seconds, not negative', fields.ageSeconds);
        ageSeconds ??= unknownTimes(owner.length);
        ageSeconds[topics.length] = fields.ageSeconds;
      }
      if (fields.movedSecondsAgo !== undefined) {
        const seconds = fields.movedSecondsAgo;
        if (!isCount(seconds)) return expected('movedSecondsAgo', 'seconds, not negative', seconds);
        movedSecondsAgo ??= unknownTimes(owner.length);
        movedSecondsAgo[topics.length] = seconds;
      }
      const code = movable === true ? 0 : reasonCode(movable === false ? NOT_MOVABLE : movable);
      if (code > MOST_REASONS) return { problem: `movable: expected at most ${MOST_REASONS} different reasons` };
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
          ...(header.roles.some((role) => role !== BrokerRole.Active) && { roles: header.roles }),
          ...(reasons.length > 0 && { immovable: { of: immovable.subarray(0, count), reasons } }),
        },
        labels: header.labels,
        reliable: reliable.subarray(0, count),
        connections: connections.subarray(0, count),
        ...(ageSeconds !== undefined && { ageSeconds: ageSeconds.subarray(0, count) }),
        ...(movedSecondsAgo !== undefined && { movedSecondsAgo: movedSecondsAgo.subarray(0, count) }),
      };
    },
  };
}

function unknownTimes(count: number): Float64Array {
  return new Float64Array(count).fill(Number.POSITIVE_INFINITY);
}

function extended<A extends { set(from: A): void }>(from: A, to: A): A {
  to.set(from);
  return to;
}

/** Bounds that no unit needs, within which no sum and no square loses its meaning. */
interface Range {
  readonly least: number;
  readonly most: number;
  readonly text: string;
}

const CAPACITIES: Range = { least: 1e-9, most: 1e18, text: 'greater than 0, at most 1e18' };
const LOADS: Range = { least: 0, most: 1e18, text: 'not negative, at most 1e18' };

/** Below this a load is none: the mean of such loads would have no digits left. */
const NEGLIGIBLE = 1e-12;

/** Writes a row of numbers; what was expected if it is not one. */
function readNumbers(
  value: unknown,
  into: Float64Array,
  at: number,
  resources: readonly string[],
  range: Range,
): string | undefined {
  const count = resources.length === 1 ? '1 number' : `${resources.length} numbers`;
  const wanted = `a list of ${count}, ${range.text} (${resources.join(', ')})`;
  if (!Array.isArray(value) || value.length !== resources.length) return wanted;
  for (let index = 0; index < resources.length; index++) {
    const number: unknown = value[index];
    if (typeof number !== 'number' || number < range.least || number > range.most) return wanted;
    into[at + index] = number < NEGLIGIBLE ? 0 : number;
  }
  return undefined;
}

const NAME = `a name of 1 to ${LONGEST_NAME} characters`;

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= LONGEST_NAME;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && value >= 0;
}

function isNames(value: unknown): value is readonly string[] {
  const isList = Array.isArray(value) && value.length > 0 && value.every(isName);
  return isList && new Set(value).size === value.length;
}

function isLabels(value: unknown): value is Readonly<Record<string, string>> {
  return isFields(value) && Object.values(value).every((label) => typeof label === 'string');
}

function expected(field: string, what: string, found: unknown): Problem {
  return { problem: `${field}: expected ${what}, found ${shortened(shown(found))}` };
}

/** Lists of plain values as they are, what is in them in words: whoever goes into a file's depth goes as deep as the file does. */
function shown(found: unknown): string {
  return Array.isArray(found) ? `[${found.slice(0, MOST_SHOWN).map(shownPlain).join(',')}]` : shownPlain(found);
}

function shownPlain(found: unknown): string {
  if (found === undefined) return 'nothing';
  if (Array.isArray(found)) return 'a list';
  if (typeof found === 'object' && found !== null) return 'an object';
  // JSON has larger numbers than there are here, and no infinite one.
  return typeof found === 'number' ? String(found) : JSON.stringify(found);
}

function shortened(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
