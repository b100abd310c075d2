/**
 * Long block sequences of addresses are what makes a manifest big, and a general YAML parser spends about 10 µs and 1.5 kB on
 * each entry. Runs of lines `- ADDRESS` are therefore lifted out before the parser sees the text, and put back into the parsed
 * value. What counts as such a line is so narrow that YAML can mean nothing else by it than a string in a sequence.
 */
const MIN_RUN = 256;
const MARK = 'lifted-list-';
const LINE = /^( *)- (?:([0-9A-Fa-f:][0-9A-Fa-f.:/-]*[0-9A-Fa-f])|"([0-9A-Fa-f:][0-9A-Fa-f.:/-]*)")[ \t\r]*$/;

export interface Lifted {
  /** The text with every run replaced by one line. */
  readonly text: string;
  readonly lists: readonly (readonly string[])[];
  /** Line (1-based) of `text` → line of the original. */
  originalLine(line: number): number;
}

/** Undefined when the text has no such run (or already holds the marker). */
export function liftPlainLists(text: string): Lifted | undefined {
  if (text.length < 8 * MIN_RUN || text.includes(MARK)) return undefined;
  const out: string[] = [];
  const lists: string[][] = [];
  const gaps: { readonly after: number; readonly removed: number }[] = [];
  let run: string[] = [];
  let runLines: string[] = [];
  let indent = '';
  const flush = (): void => {
    if (run.length >= MIN_RUN) {
      out.push(`${indent}- ${MARK}${lists.length}`);
      gaps.push({ after: out.length, removed: run.length - 1 });
      lists.push(run);
    } else {
      for (const line of runLines) out.push(line);
    }
    run = [];
    runLines = [];
  };
  for (const line of lines(text)) {
    const match = LINE.exec(line);
    const value = match?.[2] ?? match?.[3];
    if (match === null || value === undefined || (match[3] === undefined && !isPlainString(value))) {
      flush();
      out.push(line);
    } else {
      if (match[1] !== indent) flush();
      indent = match[1] ?? '';
      run.push(value);
      runLines.push(line);
    }
  }
  flush();
  if (lists.length === 0) return undefined;
  return {
    text: out.join('\n'),
    lists,
    originalLine: (line) => gaps.reduce((sum, gap) => (gap.after < line ? sum + gap.removed : sum), line),
  };
}

function* lines(text: string): Generator<string> {
  let start = 0;
  for (;;) {
    const end = text.indexOf('\n', start);
    if (end < 0) break;
    yield text.slice(start, end);
    start = end + 1;
  }
  yield text.slice(start);
}

/** Two dots or two colons: never a YAML number. */
function isPlainString(value: string): boolean {
  return value.indexOf('.') !== value.lastIndexOf('.') || value.indexOf(':') !== value.lastIndexOf(':');
}

/** Puts the lists back, in place. False when a marker is not where a sequence entry was expected: then the value is worthless. */
export function restorePlainLists(values: readonly unknown[], lists: readonly (readonly string[])[]): boolean {
  const restored = new Set<number>();
  const seen = new Set<object>();
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null || seen.has(value)) return;
    seen.add(value);
    if (!Array.isArray(value)) {
      for (const child of Object.values(value)) visit(child);
      return;
    }
    const markers = value.flatMap((entry, index) => (typeof entry === 'string' && entry.startsWith(MARK) ? [index] : []));
    if (markers.length === 0) {
      for (const child of value) visit(child);
      return;
    }
    const whole: unknown[] = [];
    for (const entry of value) {
      const number = typeof entry === 'string' && entry.startsWith(MARK) ? Number(entry.slice(MARK.length)) : -1;
      const list = lists[number];
      if (list === undefined) {
        whole.push(entry);
        visit(entry);
      } else {
        for (const member of list) whole.push(member);
        restored.add(number);
      }
    }
    value.length = 0;
    for (const entry of whole) value.push(entry);
  };
  for (const value of values) visit(value);
  return restored.size === lists.length;
}
