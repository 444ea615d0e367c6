/** The part of a RebalancePolicy that `plan` acts on: where topics may live, and how far and how fast load is evened out. */
import { z } from 'zod';
import { rules } from './fields.ts';
import { labelKey, matchLabels } from './label-selector.ts';
import { aggressivenessLevels, defaultAggressiveness, presets, type RebalanceNumbers } from './presets.ts';

/** "Absent means …" of a number that the preset has a value for. */
function byPreset(settingOf: (numbers: RebalanceNumbers) => number): string {
  const values = aggressivenessLevels.map((level) => `${settingOf(presets[level])} at ${level}`);
  return `Absent means what aggressiveness says: ${values.join(', ')}.`;
}

const patternForm = '^/[^/ ]+/[^/ ]+$';
const patternAdvice =
  'write /<namespace>/<topic> with * for any number of characters, for example /payments/* or /default/audit-*';

const topicPattern = z
  .string()
  .max(256)
  .regex(new RegExp(patternForm), { error: patternAdvice })
  .meta(
    rules(
      'A topic, or many: "*" stands for any number of characters, "/" excepted; everything else for itself. ' +
        'A pattern that covers a partitioned topic covers its partitions.',
      { rule: `self.matches(r'${patternForm}')`, message: patternAdvice },
    ),
  );

const nameForm = '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$';
const nameAdvice = 'write a name of small letters, digits and "-", for example night';

function name(description: string) {
  return z
    .string()
    .max(63)
    .regex(new RegExp(nameForm), { error: nameAdvice })
    .meta(rules(description, { rule: `self.matches(r'${nameForm}')`, message: nameAdvice }));
}

function isUnique(list: readonly string[]): boolean {
  return new Set(list).size === list.length;
}

const topicsOfRule = z
  .array(topicPattern)
  .min(1)
  .max(16)
  .refine(isUnique, { error: 'write each pattern once' })
  .meta({ description: 'The topics of the rule: 1 to 16 patterns.', 'x-kubernetes-list-type': 'set' });

const placementRule = z
  .object({
    name: name('The name of the rule, for reasons and messages.'),
    topicPatterns: topicsOfRule,
    brokerSelector: z
      .object({
        matchLabels: matchLabels({
          description: 'Labels of broker Pods: a broker that has all of them is one of the rule.',
          advice: 'write at least one label of the brokers that may have these topics, for example tier: fast',
        }),
      })
      .meta({ description: 'The brokers of the rule.' }),
    enforcement: z
      .enum(['Required', 'Preferred'])
      .meta({
        description:
          'Required: the topics are assigned and moved to brokers of the rule, and not elsewhere, but for a reliable topic that goes on in the Pod ' +
          'that has its log; while none of them takes topics, a topic without an owner waits, and the condition TopicsServed names the rule. Preferred: no topic moves for the sake of the rule, but one that is ' +
          'assigned or moved goes to brokers of the rule as long as any of them may take it. Absent means Required.',
      })
      .exactOptional(),
  })
  .meta({ description: 'One rule.' });

const spreadLimitAdvice =
  'write maxPerBroker, or maxPerDomain with topologyKey, or all three: without a limit nothing is kept apart';
const topologyAdvice =
  'write topologyKey and maxPerDomain together: the one says what a domain is, the other how many may be in it';
const spreadOrderAdvice =
  'maxPerBroker is above maxPerDomain, which would be reached first: lower the one or raise the other';

const mostTogether = z.int().min(1).max(1_000_000);

const spreadRule = z
  .object({
    name: name('The name of the rule, for reasons and messages.'),
    topicPatterns: topicsOfRule,
    scope: z
      .enum(['Partitions', 'Topics'])
      .meta({
        description:
          'What is kept apart. Partitions: the partitions of each partitioned topic, which are counted for each topic on its own. ' +
          'Topics: all topics of the rule, which are counted together, partitions as topics. Absent means Partitions.',
      })
      .exactOptional(),
    maxPerBroker: mostTogether
      .meta({ description: '1 to 1000000. How many of them one broker may have. Absent means any number.' })
      .exactOptional(),
    topologyKey: labelKey(
      'A label of the broker Pods, not of their nodes; brokers with the same value are one domain, such as a zone, and those without the label ' +
        'are one, too. All spread rules use the same. Absent means that only brokers count.',
    ).exactOptional(),
    maxPerDomain: mostTogether
      .meta({
        description: '1 to 1000000. How many of them the brokers of one domain may have. Absent means any number.',
      })
      .exactOptional(),
    whenUnsatisfiable: z
      .enum(['Wait', 'AssignAnyway'])
      .meta({
        description:
          'What becomes of a topic without an owner that could be assigned only against the rule. Wait: it waits, and the condition TopicsServed ' +
          'names the rule. AssignAnyway: it goes where fewest of them are. Moves never break the rule. Absent means Wait.',
      })
      .exactOptional(),
  })
  .refine(({ maxPerBroker, maxPerDomain }) => maxPerBroker !== undefined || maxPerDomain !== undefined, {
    error: spreadLimitAdvice,
  })
  .refine(({ topologyKey, maxPerDomain }) => (topologyKey === undefined) === (maxPerDomain === undefined), {
    error: topologyAdvice,
  })
  .refine(({ maxPerBroker = 1, maxPerDomain = Infinity }) => maxPerBroker <= maxPerDomain, {
    error: spreadOrderAdvice,
  })
  .meta(
    rules(
      'One rule.',
      { rule: 'has(self.maxPerBroker) || has(self.maxPerDomain)', message: spreadLimitAdvice },
      { rule: 'has(self.topologyKey) == has(self.maxPerDomain)', message: topologyAdvice },
      {
        rule: '!has(self.maxPerBroker) || !has(self.maxPerDomain) || self.maxPerBroker <= self.maxPerDomain',
        message: spreadOrderAdvice,
      },
    ),
  );

const oneTopologyAdvice = 'write the same topologyKey in all spread rules: topics are kept apart by one kind of domain';
const ownNameAdvice = 'give each rule of rules and of spread a name of its own: messages name them';

export const placement = z
  .object({
    rules: z
      .array(placementRule)
      .max(16)
      .refine((list) => isUnique(list.map((rule) => rule.name)), { error: 'give each rule a name of its own' })
      .meta({
        description:
          'Which brokers may have which topics, when these are assigned and when they move. A topic of several rules must satisfy all of them. ' +
          'Absent means that every broker may have every topic.',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
      })
      .exactOptional(),
    spread: z
      .array(spreadRule)
      .max(16)
      .refine((list) => isUnique(list.map((rule) => rule.name)), { error: 'give each rule a name of its own' })
      .refine((list) => new Set(list.flatMap(({ topologyKey = [] }) => topologyKey)).size <= 1, {
        error: oneTopologyAdvice,
      })
      .meta({
        ...rules(
          'Which topics must stay apart, when these are assigned and when they move. Of several rules that cover a topic the first one counts. ' +
            'Absent means none.',
          {
            rule: 'self.all(a, self.all(b, !has(a.topologyKey) || !has(b.topologyKey) || a.topologyKey == b.topologyKey))',
            message: oneTopologyAdvice,
          },
        ),
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
      })
      .exactOptional(),
  })
  .refine(
    ({ rules: which = [], spread = [] }) => !which.some((rule) => spread.some(({ name }) => name === rule.name)),
    {
      error: ownNameAdvice,
    },
  )
  .meta(
    rules('Where topics may live. Absent means anywhere.', {
      rule: '!has(self.rules) || !has(self.spread) || self.rules.all(a, self.spread.all(b, a.name != b.name))',
      message: ownNameAdvice,
    }),
  );

/** Five fields of cron as CronJobs take them, without names such as @daily. */
const cronPart = '([*]|[0-9]{1,2}|[A-Za-z]{3})(-([0-9]{1,2}|[A-Za-z]{3}))?(/[0-9]{1,2})?';
const cronField = `${cronPart}(,${cronPart})*`;
const scheduleForm = `^${cronField}( ${cronField}){4}$`;
const scheduleAdvice =
  'write five fields of cron: minute, hour, day of month, month, day of week, for example "0 2 * * *" for 02:00 each day';
const timeZoneForm = '^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$';
const timeZoneAdvice = 'write an IANA time zone, for example Europe/Berlin';

const window = z
  .object({
    name: name('The name of the window.'),
    schedule: z
      .string()
      .max(128)
      .regex(new RegExp(scheduleForm), { error: scheduleAdvice })
      .meta(
        rules('When the window opens: five fields of cron, as in a CronJob.', {
          rule: `self.matches(r'${scheduleForm}')`,
          message: scheduleAdvice,
        }),
      ),
    timeZone: z
      .string()
      .max(64)
      .regex(new RegExp(timeZoneForm), { error: timeZoneAdvice })
      .meta(
        rules('The IANA time zone of the schedule. Absent means UTC.', {
          rule: `self.matches(r'${timeZoneForm}')`,
          message: timeZoneAdvice,
        }),
      )
      .exactOptional(),
    durationSeconds: z
      .int()
      .min(60)
      .max(604_800)
      .meta({ description: 'Seconds, 60 to 604800. How long the window stays open.' }),
  })
  .meta({ description: 'A time in which topics may move.' });

const bandFields = {
  abovePercent: z.int().min(1).max(100),
  belowPercent: z.int().min(1).max(100),
};

const limitFields = {
  maxConcurrentMoves: z.int().min(1).max(256),
  maxMovesPerHour: z.int().min(1).max(100_000),
  maxMovedLoadPercentPerHour: z.int().min(1).max(100),
  topicCooldownSeconds: z.int().min(0).max(604_800),
  minTopicAgeSeconds: z.int().min(0).max(604_800),
  minActiveBrokers: z.int().min(2).max(10_000),
};

const maxBrokerUtilizationPercent = z.int().min(1).max(100);

const sustainedSeconds = z.int().min(0).max(86_400);

const bandDescriptions = {
  abovePercent: 'Percent, 1 to 100. How far a broker may be above the mean.',
  belowPercent: 'Percent, 1 to 100. How far a broker may be below the mean; at 100 it may be empty.',
} as const;

const limitDescriptions = {
  maxConcurrentMoves: '1 to 256. How many topics move at the same time.',
  maxMovesPerHour: '1 to 100000. How many moves begin within an hour.',
  maxMovedLoadPercentPerHour:
    "Percent of the cluster's load, of each resource, 1 to 100. How much of it moves within an hour.",
  topicCooldownSeconds: 'Seconds, 0 to 604800. How long a topic stays after a move.',
  minTopicAgeSeconds: 'Seconds, 0 to 604800. How old a topic must be to move.',
  minActiveBrokers: '2 to 10000. With fewer brokers that take topics, nothing moves for balance.',
} as const;

const band = z
  .object({
    abovePercent: bandFields.abovePercent
      .meta({ description: `${bandDescriptions.abovePercent} ${byPreset((numbers) => numbers.band.abovePercent)}` })
      .exactOptional(),
    belowPercent: bandFields.belowPercent
      .meta({ description: `${bandDescriptions.belowPercent} ${byPreset((numbers) => numbers.band.belowPercent)}` })
      .exactOptional(),
  })
  .meta({
    description:
      'The range that every resource of every broker is brought into, around the mean of the cluster: load / (mean × capacity of the broker), ' +
      'with mean = sum of the loads / sum of the capacities. Absent means what aggressiveness says.',
  });

function limit(field: keyof typeof limitFields) {
  return limitFields[field]
    .meta({ description: `${limitDescriptions[field]} ${byPreset((numbers) => numbers.limits[field])}` })
    .exactOptional();
}

const concurrencyAdvice =
  'maxConcurrentMoves is above maxMovesPerHour, which would end every hour before it counts: lower the one or raise the other';

const limits = z
  .object({
    maxConcurrentMoves: limit('maxConcurrentMoves'),
    maxMovesPerHour: limit('maxMovesPerHour'),
    maxMovedLoadPercentPerHour: limit('maxMovedLoadPercentPerHour'),
    topicCooldownSeconds: limit('topicCooldownSeconds'),
    minTopicAgeSeconds: limit('minTopicAgeSeconds'),
    minActiveBrokers: limit('minActiveBrokers'),
    maxBrokerUtilizationPercent: maxBrokerUtilizationPercent
      .meta({
        description:
          'Percent of the capacity, 1 to 100. How far a move may fill a broker, of each resource that the broker has a limit of: cpu and memory, ' +
          'in a snapshot all. It holds for moves off draining brokers, too. Absent means no limit but the band, at each level.',
      })
      .exactOptional(),
  })
  .refine(
    ({ maxConcurrentMoves, maxMovesPerHour }) =>
      maxConcurrentMoves === undefined || maxMovesPerHour === undefined || maxConcurrentMoves <= maxMovesPerHour,
    { error: concurrencyAdvice },
  )
  .meta(
    rules(
      'What bounds the moves. A plan is always whole; limits cut it into waves. Absent means what aggressiveness says.',
      {
        rule: '!has(self.maxConcurrentMoves) || !has(self.maxMovesPerHour) || self.maxConcurrentMoves <= self.maxMovesPerHour',
        message: concurrencyAdvice,
      },
    ),
  );

const connectedTopics = z.enum(['Never', 'Allow']);

export const rebalance = z
  .object({
    aggressiveness: z
      .enum(aggressivenessLevels)
      .meta({
        description:
          'A preset for band, sustainedSeconds and limits, with the values that those fields name. What is written out beside it stands. ' +
          `Absent means ${defaultAggressiveness}.`,
      })
      .exactOptional(),
    band: band.exactOptional(),
    sustainedSeconds: sustainedSeconds
      .meta({
        description:
          'Seconds, 0 to 86400. How long a broker must be outside the band before topics move; a plan made from one snapshot does not ask. ' +
          byPreset((numbers) => numbers.sustainedSeconds),
      })
      .exactOptional(),
    connectedTopics: connectedTopics
      .meta({
        description:
          'Whether topics with connected producers or consumers may move for balance. Never: they stay. Allow: they move where nothing cheaper does; ' +
          'clients of Danube 0.7 do not follow a move by themselves and must connect anew. Absent means Never.',
      })
      .exactOptional(),
    excludeTopicPatterns: z
      .array(topicPattern)
      .max(64)
      .refine(isUnique, { error: 'write each pattern once' })
      .meta({
        description: 'Topics that never move for balance: up to 64 patterns. Absent means none.',
        'x-kubernetes-list-type': 'set',
      })
      .exactOptional(),
    limits: limits.exactOptional(),
    windows: z
      .array(window)
      .max(16)
      .refine((list) => isUnique(list.map((one) => one.name)), { error: 'give each window a name of its own' })
      .meta({
        description: 'The times in which topics move for balance: up to 16. Absent or empty means at any time.',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
      })
      .exactOptional(),
  })
  .meta({ description: 'Moves for balance, and for balance only. Absent means the default of each field.' });

/** What `status.effective.rebalance` shows. */
export const effectiveRebalanceStatus = z
  .object({
    aggressiveness: z.enum(aggressivenessLevels).meta({ description: 'The preset in use.' }),
    band: z
      .object({
        abovePercent: bandFields.abovePercent.meta({ description: 'Percent above the mean.' }),
        belowPercent: bandFields.belowPercent.meta({ description: 'Percent below the mean.' }),
      })
      .meta({ description: 'The band in use.' }),
    sustainedSeconds: sustainedSeconds.meta({ description: 'Seconds; the time in use.' }),
    connectedTopics: connectedTopics.meta({ description: 'Whether topics with connected clients may move.' }),
    limits: z
      .object({
        maxConcurrentMoves: limitFields.maxConcurrentMoves.meta({ description: 'Moves at the same time.' }),
        maxMovesPerHour: limitFields.maxMovesPerHour.meta({ description: 'Moves that begin within an hour.' }),
        maxMovedLoadPercentPerHour: limitFields.maxMovedLoadPercentPerHour.meta({
          description: "Percent of the cluster's load, of each resource, within an hour.",
        }),
        topicCooldownSeconds: limitFields.topicCooldownSeconds.meta({ description: 'Seconds after a move.' }),
        minTopicAgeSeconds: limitFields.minTopicAgeSeconds.meta({ description: 'Seconds of age.' }),
        minActiveBrokers: limitFields.minActiveBrokers.meta({ description: 'Brokers that take topics.' }),
        maxBrokerUtilizationPercent: maxBrokerUtilizationPercent
          .meta({ description: 'Percent of the capacity. Absent means no limit.' })
          .exactOptional(),
      })
      .meta({ description: 'The limits in use.' }),
  })
  .meta({
    description:
      'Resolved spec.rebalance, without the lists, which stand as they are written. Absent means written by an earlier version.',
  });

export type RebalanceSpec = z.infer<typeof rebalance>;
export type PlacementSpec = z.infer<typeof placement>;
export type PlacementRuleSpec = z.infer<typeof placementRule>;
export type SpreadRuleSpec = z.infer<typeof spreadRule>;
export type WindowSpec = z.infer<typeof window>;

/** `spec.rebalance` with every default filled in. */
export interface EffectiveRebalance extends z.infer<typeof effectiveRebalanceStatus> {
  readonly excludeTopicPatterns: NonNullable<RebalanceSpec['excludeTopicPatterns']>;
  readonly windows: NonNullable<RebalanceSpec['windows']>;
}

/** Fills in what the block leaves out, from its preset. */
export function effectiveRebalance(spec: RebalanceSpec = {}): EffectiveRebalance {
  const aggressiveness = spec.aggressiveness ?? defaultAggressiveness;
  const preset = presets[aggressiveness];
  const resolved = { ...preset.limits, ...spec.limits };
  return {
    aggressiveness,
    band: { ...preset.band, ...spec.band },
    sustainedSeconds: spec.sustainedSeconds ?? preset.sustainedSeconds,
    connectedTopics: spec.connectedTopics ?? 'Never',
    // A preset's concurrency gives way to a smaller number of moves an hour that the user wrote, and the other way round.
    limits: {
      ...resolved,
      maxConcurrentMoves:
        spec.limits?.maxConcurrentMoves ?? Math.min(resolved.maxConcurrentMoves, resolved.maxMovesPerHour),
      maxMovesPerHour: spec.limits?.maxMovesPerHour ?? Math.max(resolved.maxConcurrentMoves, resolved.maxMovesPerHour),
    },
    excludeTopicPatterns: spec.excludeTopicPatterns ?? [],
    windows: spec.windows ?? [],
  };
}

/** The part of it that the status shows. */
export function rebalanceStatus(effective: EffectiveRebalance): z.infer<typeof effectiveRebalanceStatus> {
  return effectiveRebalanceStatus.parse(effective);
}
