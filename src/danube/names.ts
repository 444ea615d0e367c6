/** Which names and ids brokers take (contract 2.1), and what is wrong with the others. */

const U64_MAX = '18446744073709551615';

/** Whether the text is a u64 in its one decimal form. */
export function isBrokerId(text: string): boolean {
  if (!/^(0|[1-9]\d{0,19})$/.test(text)) return false;
  return text.length < U64_MAX.length || text <= U64_MAX;
}

const ASCII_NAME = /^[\w-]+$/;
// Rust's `char::is_alphanumeric`, which the brokers ask, is the Unicode property Alphabetic or a numeric category.
const NAME = /^[\p{Alphabetic}\p{N}_-]+$/u;
const NOT_IN_NAME = /[^\p{Alphabetic}\p{N}_-]/u;

function isName(segment: string): boolean {
  return ASCII_NAME.test(segment) || NAME.test(segment);
}

/** Whether a broker would accept the name: two segments of letters, digits, `_` and `-` (contract 2.1). */
export function isTopicName(name: string): boolean {
  const [before, namespace, topic, ...rest] = name.split('/');
  return before === '' && rest.length === 0 && isName(namespace ?? '') && isName(topic ?? '');
}

/** Why a namespace, or a topic without its namespace, is not a name that brokers take; undefined when it is one. */
export function nameProblem(what: string, segment: string): string | undefined {
  if (isName(segment)) return undefined;
  if (segment === '') return `the ${what} is empty`;
  const [odd = ''] = NOT_IN_NAME.exec(segment) ?? [];
  return `the ${what} ${quote(segment)} holds ${quote(odd)}${hint(odd)}; brokers take letters, digits, "_" and "-"`;
}

export function brokerIdProblem(what: string, text: string): string | undefined {
  return isBrokerId(text) ? undefined : `${quote(text)} is not a ${what}, which is a u64 in decimal`;
}

const UNPRINTABLE = /[\p{Cc}\p{Cs}\ufffd]/u;

/** For names that brokers do not restrict, such as a subscription's. */
export function textProblem(what: string, segment: string): string | undefined {
  if (segment === '') return `the ${what} is empty`;
  const [odd] = UNPRINTABLE.exec(segment) ?? [];
  return odd === undefined ? undefined : `the ${what} ${quote(segment)} holds ${quote(odd)}${hint(odd)}`;
}

function hint(odd: string): string {
  return odd === '\ufffd' ? ' (bytes that are not UTF-8?)' : '';
}

const QUOTED_LENGTH = 60;

/** For messages: one line of printable text, cut short. */
export function quote(text: string): string {
  return printable(JSON.stringify(text.length > QUOTED_LENGTH ? `${text.slice(0, QUOTED_LENGTH)}…` : text));
}

/** The text with its control characters escaped. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
