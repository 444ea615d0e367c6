import { z } from 'zod';
import { rules } from './fields.ts';

// The forms of strings stand in the schema twice, as a pattern and in a rule with a readable message: the API server skips
// all rules when another field has a wrong enum value or is missing, and then the pattern still names the field.

const labelKeyForm = '^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$';
const labelKeyAdvice = 'write label keys as the Pods have them, for example app.kubernetes.io/component';

const labelValueForm = '^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$';
const labelValueAdvice =
  'write a label value as the Pods have it: letters, digits, ".", "_" and "-", with a letter or digit at both ends';

const labelValue = z
  .string()
  .max(63)
  .regex(new RegExp(labelValueForm), { error: labelValueAdvice })
  .meta(
    rules('The value that the label must have.', {
      rule: `self.matches(r'${labelValueForm}')`,
      message: labelValueAdvice,
    }),
  );

/** The key of a label of Pods. */
export function labelKey(description: string) {
  return z
    .string()
    .max(317)
    .regex(new RegExp(labelKeyForm), { error: labelKeyAdvice })
    .meta(rules(description, { rule: `self.matches(r'${labelKeyForm}')`, message: labelKeyAdvice }));
}

/** Labels of Pods, of which a Pod must have all: 1 to 16. */
export function matchLabels({ description, advice }: { readonly description: string; readonly advice: string }) {
  return z
    .record(z.string().regex(new RegExp(labelKeyForm), { error: labelKeyAdvice }), labelValue)
    .refine((labels) => Object.keys(labels).length >= 1, { error: 'write at least one label' })
    .refine((labels) => Object.keys(labels).length <= 16, { error: 'write at most 16 labels' })
    .meta({
      minProperties: 1,
      maxProperties: 16,
      ...rules(
        `${description} 1 to 16 labels.`,
        { rule: 'self.size() > 0', message: advice },
        { rule: `self.all(key, key.matches(r'${labelKeyForm}'))`, message: labelKeyAdvice },
      ),
    });
}
