/** The text of a *.yaml, *.yml or *.json file → its documents, each parsed on its own so that a broken one spoils no other. */
import { LineCounter, parseAllDocuments } from 'yaml';
import { quote } from '../../model/quote.js';
import { fieldsOf } from '../../model/identity.js';
import { liftPlainLists, restorePlainLists } from './plain-lists.js';

export interface TextDocument {
  /** 1-based; documents without content (comments, nothing) are not counted. */
  readonly index: number;
  /** Place in a `kind: List`: `items[3]`; empty for a document of its own. */
  readonly item: string;
  readonly value: unknown;
  /** Why the text could not be parsed; then `value` is undefined. */
  readonly problem?: { readonly path: string; readonly message: string };
}

export function parseDocuments(text: string, isJson: boolean): TextDocument[] {
  const whole = text.startsWith('\ufeff') ? text.slice(1) : text;
  const documents = parseJson(whole, isJson) ?? splitYaml(whole).flatMap((part) => parseYaml(part));
  return documents.flatMap((document, index) => expandList({ ...document, index: index + 1 }));
}

type Parsed = Pick<TextDocument, 'value' | 'problem'>;

/** JSON is parsed as such when the file says so, and tried when a YAML file looks like it: that is a hundred times faster. */
function parseJson(text: string, isJson: boolean): Parsed[] | undefined {
  if (!isJson && !/^\s*[{[]/.test(text)) return undefined;
  if (isJson && text.trim() === '') return [];
  try {
    const value: unknown = JSON.parse(text);
    return [{ value }];
  } catch (error) {
    if (!isJson) return undefined;
    return [{ value: undefined, problem: { path: '', message: `not JSON: ${error instanceof Error ? quote(error.message, 160) : 'unreadable'}` } }];
  }
}

interface Part { readonly text: string; readonly firstLine: number }

/** A line `---` begins a document wherever it stands (YAML 1.2, c-forbidden): splitting there keeps errors apart. */
function splitYaml(text: string): Part[] {
  const parts: Part[] = [];
  let line = 1;
  for (const chunk of text.split(/^(?=---(?:[ \t\r\n]|$))/m)) {
    if (hasContent(chunk)) parts.push({ text: chunk, firstLine: line });
    line += countLines(chunk);
  }
  return parts;
}

/** Something besides comments, directives and document markers. */
function hasContent(chunk: string): boolean {
  return /^(?!---[ \t]*(?:#.*)?\r?$|[ \t]*(?:#.*)?\r?$|%|\.\.\.[ \t]*\r?$)./m.test(chunk);
}

function countLines(text: string): number {
  let count = 0;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) count++;
  return count;
}

function parseYaml(part: Part): Parsed[] {
  const lifted = liftPlainLists(part.text);
  if (lifted === undefined) return compose(part.text, (line) => part.firstLine + line - 1);
  const parsed = compose(lifted.text, (line) => part.firstLine + lifted.originalLine(line) - 1);
  if (parsed.some((document) => document.problem !== undefined) || restorePlainLists(parsed.map(({ value }) => value), lifted.lists)) {
    return parsed;
  }
  return compose(part.text, (line) => part.firstLine + line - 1);
}

function compose(text: string, originalLine: (line: number) => number): Parsed[] {
  const lineCounter = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter, prettyErrors: false, merge: true });
  if (!Array.isArray(documents)) return [];
  return documents.map((document): Parsed => {
    const [error] = document.errors;
    if (error !== undefined) {
      return { value: undefined, problem: { path: `line ${originalLine(lineCounter.linePos(error.pos[0]).line)}`, message: `not YAML: ${error.message}` } };
    }
    try {
      const value: unknown = document.toJS({ maxAliasCount: 100 });
      return { value };
    } catch (cause) {
      // Aliases that refer to nothing or multiply without bound.
      return { value: undefined, problem: { path: `line ${originalLine(1)}`, message: `not YAML: ${cause instanceof Error ? cause.message : 'unreadable'}` } };
    }
  });
}

/** `kind: List` stands for its items, each a document of its own. */
function expandList(document: Omit<TextDocument, 'item'>): TextDocument[] {
  const fields = fieldsOf(document.value);
  const items = fields?.['items'];
  if (fields?.['kind'] !== 'List' || !Array.isArray(items)) return [{ ...document, item: '' }];
  return items.map((value: unknown, index) => ({ index: document.index, item: `items[${index}]`, value }));
}
