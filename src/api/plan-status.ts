/** What the status of a RebalancePolicy says of balance: how it is, what a plan would make of it, and what it would leave alone. */
import { z } from 'zod';
import { count, text, time } from './fields.ts';
import { loadResources } from './load-resources.ts';

const percent = (description: string) => z.int().min(0).max(1_000_000).meta({ description });

export const skippedBounds = { reasons: 16, examples: 3 } as const;

export const imbalance = z
  .object({
    resource: z.enum(loadResources).meta({ description: 'The resource in which a broker is furthest above the mean.' }),
    currentPercent: percent('Percent. How far the most loaded broker is above the mean of that resource.'),
    plannedPercent: percent(
      'Percent. How far it would be after the plan. Absent means that there is no plan.',
    ).exactOptional(),
    floorPercent: percent('Percent. No plan could do better. Absent means that there is no plan.').exactOptional(),
  })
  .meta({ description: 'How uneven the load is. Absent means unknown, or that next to nothing is in use.' });

export const planSummary = z
  .object({
    name: text(76, 'The name of the policy and the hash of the moves: the same moves have the same name.'),
    moves: count('Topics that the plan moves.'),
    minMoves: count('The fewest moves of any plan that ends as balanced.'),
    bindingConstraint: text(1024, 'What keeps any plan from doing better, in words.'),
    expiresAt: time('From then on the plan is made anew.'),
  })
  .meta({
    description:
      'The plan that balances the brokers and brings topics to where rules want them. Absent means that none is needed, or none can help.',
  });

export const skipped = z
  .array(
    z
      .object({
        reason: text(256, 'Why they may not move.'),
        count: count('Number of topics.'),
        examples: z
          .array(text(1024, 'A topic.'))
          .max(skippedBounds.examples)
          .meta({ description: 'Some of them.', 'x-kubernetes-list-type': 'atomic' }),
      })
      .meta({ description: 'Topics that may not move for one reason.' }),
  )
  .max(skippedBounds.reasons)
  .meta({
    description:
      'Topics that the plan had to leave where they are, by reason, the most frequent first. Absent means that there is no plan, or that every topic may move.',
    'x-kubernetes-list-type': 'atomic',
  });

export interface PlanStatus {
  readonly imbalance?: z.infer<typeof imbalance>;
  readonly plan?: z.infer<typeof planSummary>;
  readonly skipped?: z.infer<typeof skipped>;
}
