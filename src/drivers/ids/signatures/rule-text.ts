/**
 * Rule files as Suricata reads them (DetectLoadSigFile in its detect-engine-loader.c): lines that begin with white space or "#" are
 * no rules; a rule whose line ends with a backslash goes on with the next line, whatever that begins with. Texts are
 * latin1, one character a byte: files hold bytes of any encoding, and what is not changed must come out as it came in.
 */
import type { Signature } from '../../../model/signature.js';

/** A rule of a file, or one that is commented out. */
export interface RuleSpan {
  /** Of its first line in the file, from 1: the engine's own way of naming it. */
  readonly line: number;
  /** Offsets of its lines; more than one where it is continued. */
  readonly starts: readonly number[];
  readonly enabled: boolean;
  /** In one piece, without "#" and backslashes at the ends of lines. */
  readonly text: string;
}

const DISABLED = /^#[#\s]*(?:alert|drop|reject|rejectsrc|rejectdst|rejectboth|pass|config)\s+[^(]*\(/;

/** The rules of a file, in order. A continuation that the file ends in is left out, as the engine leaves it out. */
export function* ruleSpans(file: string): Generator<RuleSpan> {
  let line = 0;
  let start = 0;
  while (start < file.length) {
    line += 1;
    const first = file.charAt(start);
    const end = endOfLine(file, start);
    const enabled = !'\n\r\t #'.includes(first);
    if (!enabled && !(first === '#' && DISABLED.test(file.slice(start, end)))) {
      start = end + 1;
      continue;
    }
    const starts: number[] = [];
    let text = '';
    let complete = false;
    while (start < file.length && !complete) {
      // Lines that go on with a rule that is commented out are comments too.
      if (!enabled && starts.length > 0 && file.charAt(start) !== '#') break;
      const to = endOfLine(file, start);
      const whole = file.slice(start, to).trimEnd();
      const part = enabled ? whole : whole.replace(/^[#\s]+/, '');
      complete = !part.endsWith('\\');
      text += complete ? part : part.slice(0, -1);
      starts.push(start);
      start = to + 1;
    }
    if (complete) yield { line, starts, enabled, text };
    line += starts.length - 1;
  }
}

function endOfLine(file: string, from: number): number {
  const end = file.indexOf('\n', from);
  return end === -1 ? file.length : end;
}

/** Priority of a classtype, by classification.config. */
export type PriorityOf = (classtype: string) => number | undefined;

/** What the engine takes where a signature names neither priority nor a known classtype. */
const DEFAULT_SEVERITY = 3;
/** Values of the metadata key signature_severity in public rule sets. */
const METADATA_SEVERITY: Readonly<Record<string, number>> = { critical: 1, major: 2, minor: 3, informational: 4 };

/**
 * Reads a rule; undefined where it has no sid, which the engine refuses. The severity is that of its alerts: its `priority`, else that of
 * its `classtype`; where neither says anything, the metadata's `signature_severity`, else 3.
 */
export function parseSignature(text: string, priorityOf: PriorityOf): Signature | undefined {
  let sid: number | undefined;
  let rev = 0;
  let category = '';
  let priority: number | undefined;
  let message = '';
  let stated: number | undefined;
  for (const { name, value } of options(text)) {
    switch (name) {
      case 'sid':
        sid = numberOf(value);
        break;
      case 'rev':
        rev = numberOf(value) ?? 0;
        break;
      case 'classtype':
        category = value;
        break;
      case 'priority':
        priority = numberOf(value);
        break;
      case 'msg':
        message = unquoted(value);
        break;
      case 'metadata':
        stated = METADATA_SEVERITY[/(?:^|,)\s*signature_severity\s+([^,\s]+)/i.exec(value)?.[1]?.toLowerCase() ?? ''] ?? stated;
        break;
      default:
    }
  }
  if (sid === undefined) return undefined;
  const severity = priority ?? priorityOf(category.toLowerCase()) ?? stated ?? DEFAULT_SEVERITY;
  return { sid, rev, action: actionWord(text), severity, category, message };
}

/** First word of a rule. */
export function actionWord(text: string): string {
  return /^\w*/.exec(text)?.[0] ?? '';
}

const READ: ReadonlySet<string> = new Set(['sid', 'rev', 'classtype', 'priority', 'msg', 'metadata']);

/** The options that are read here. Each ends at a semicolon without a backslash before it, also inside quotation marks. */
function* options(text: string): Generator<{ name: string; value: string }> {
  let start = text.indexOf('(') + 1;
  if (start === 0) return;
  for (;;) {
    let end = text.indexOf(';', start);
    while (end > 0 && text.charAt(end - 1) === '\\') end = text.indexOf(';', end + 1);
    if (end === -1) return;
    const colon = text.indexOf(':', start);
    if (colon !== -1 && colon < end) {
      const name = text.slice(start, colon).trim().toLowerCase();
      if (READ.has(name)) yield { name, value: text.slice(colon + 1, end).trim() };
    }
    start = end + 1;
  }
}

function numberOf(value: string): number | undefined {
  return /^\d{1,10}$/.test(value) ? Number(value) : undefined;
}

/** Without quotation marks and escapes, and as UTF-8 where it is that. */
function unquoted(value: string): string {
  const inner = /^"([\s\S]*)"$/.exec(value)?.[1] ?? value;
  const plain = inner.replaceAll(/\\([\\";:])/g, '$1');
  // Most are ASCII, which is the same in both.
  return isAscii(plain) ? plain : Buffer.from(plain, 'latin1').toString('utf8');
}

function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at += 1) if (text.charCodeAt(at) > 0x7e) return false;
  return true;
}
