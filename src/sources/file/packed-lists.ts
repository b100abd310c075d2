/**
 * Moving a value with very long string lists between threads: cloning a million strings would hold the receiving event loop
 * for a quarter of a second. The lists travel as one text each and are split in slices on arrival. Both functions work in place.
 */
const MIN_LENGTH = 2_000;
const SLICE = 10_000;

/** Stands where a list was. */
interface Marker { readonly packedList: number }

/** Takes every long list of strings out of `value` and returns them joined by line feeds; equal lists are stored once. */
export function packLists(value: unknown): string[] {
  const texts: string[] = [];
  const known = new Map<string, number>();
  visit(value, (child) => {
    if (!Array.isArray(child) || child.length < MIN_LENGTH) return undefined;
    if (!child.every((entry) => typeof entry === 'string' && entry !== '' && !entry.includes('\n'))) return undefined;
    const text = child.join('\n');
    const index = known.get(text) ?? texts.push(text) - 1;
    known.set(text, index);
    return { packedList: index } satisfies Marker;
  });
  return texts;
}

/** Splits the texts, giving way to other work after every slice. */
export async function splitTexts(texts: readonly string[], pause: () => Promise<void>): Promise<string[][]> {
  const lists: string[][] = [];
  for (const text of texts) {
    const list: string[] = [];
    let start = 0;
    for (;;) {
      const end = text.indexOf('\n', start);
      if (end < 0) break;
      list.push(text.slice(start, end));
      start = end + 1;
      if (list.length % SLICE === 0) await pause();
    }
    list.push(text.slice(start));
    lists.push(list);
  }
  return lists;
}

/** Puts the lists back. Lists that were equal become one array. */
export function unpackLists(value: unknown, lists: readonly string[][]): void {
  if (lists.length === 0) return;
  visit(value, (child) => (isMarker(child) ? lists[child.packedList] : undefined));
}

function isMarker(value: object): value is Marker {
  return 'packedList' in value && typeof value.packedList === 'number' && Object.keys(value).length === 1;
}

/** Replaces every object below `value` for which `replace` returns something. Shared objects are visited once. */
function visit(value: unknown, replace: (child: object) => unknown): void {
  const seen = new Set<object>();
  const walk = (holder: object): void => {
    if (seen.has(holder)) return;
    seen.add(holder);
    for (const key of Object.keys(holder)) {
      const child: unknown = Reflect.get(holder, key);
      if (typeof child !== 'object' || child === null) continue;
      const replacement = replace(child);
      if (replacement === undefined) walk(child);
      else Reflect.set(holder, key, replacement);
    }
  };
  if (typeof value === 'object' && value !== null) walk(value);
}
