/** The kernel's data maps of one table, as far as elements go. */
import type { CompiledTable } from '../../../src/compile/compiled.js';
import type { Block } from '../../../src/drivers/nftables/blocks.js';
import { elementChanges } from '../../../src/drivers/nftables/table-elements.js';
import { tableSets } from '../../../src/drivers/nftables/table-sets.js';

const sets = tableSets('t');
/** No key of a set is longer than another's, so this makes no key another. */
const END = ' end';

/** A kernel set as a map from key and end flag to data; refuses what the kernel would refuse. */
export class KernelSets {
  private readonly sets = new Map<string, Map<string, string>>();

  apply(before: CompiledTable | undefined, after: CompiledTable): void {
    // A compilation by hosts alone shares its maps with the one before, and may only follow that one.
    for (const { set, remove, add } of elementChanges(sets, before, after, ({ name }) => this.sets.has(name))) {
      const held = this.sets.get(set.name) ?? new Map<string, string>();
      this.sets.set(set.name, held);
      for (const [key] of entries(remove)) {
        if (!held.delete(key)) throw new Error(`ENOENT: ${set.name} ${readable(key)}`);
      }
      for (const [key, data] of entries(add)) {
        if ((held.get(key) ?? data) !== data) throw new Error(`EEXIST: ${set.name} ${readable(key)}`);
        held.set(key, data);
      }
    }
  }

  /** What these sets hold otherwise than those, a few of them; empty sets count as none. */
  differences(other: KernelSets): string[] {
    const found: string[] = [];
    for (const name of new Set([...this.sets.keys(), ...other.sets.keys()])) {
      const here = this.sets.get(name);
      const there = other.sets.get(name);
      for (const [key, data] of here ?? []) if (there?.get(key) !== data) found.push(`${name} ${readable(key)}: ${readable(data)}, not ${there?.has(key) === true ? readable(there.get(key) ?? '') : 'there'}`);
      for (const [key, data] of there ?? []) if (here?.has(key) !== true) found.push(`${name} ${readable(key)}: ${readable(data)} is absent`);
    }
    return found.slice(0, 10);
  }
}

/** Key, with a mark where it ends an interval, and data: bytes as characters, cut from one text for all elements. (Hex of each took most of the tests' time.) */
function entries(block: Block): [string, string][] {
  if (block.count === 0) return [];
  const { keys, data, dataLength, flags, keyLength } = block.segment('add', { family: 1, table: 'dfw' }, 'x');
  const text = (bytes: Uint8Array | undefined): string => (bytes === undefined ? '' : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1'));
  const [keyText, dataText] = [text(keys), text(data)];
  return Array.from({ length: block.count }, (_, index) => {
    const end = (flags?.[index] ?? 0) & 1;
    const key = keyText.slice(index * keyLength, (index + 1) * keyLength);
    return end === 1 ? [`${key}${END}`, ''] : [key, dataText.slice(index * dataLength, (index + 1) * dataLength)];
  });
}

function readable(text: string): string {
  const end = text.endsWith(END);
  return `${Buffer.from(end ? text.slice(0, -END.length) : text, 'latin1').toString('hex')}${end ? END : ''}`;
}
