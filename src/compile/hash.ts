/**
 * Content hashes for kernel identifiers. Class, profile and region numbers are hashes of what they stand for, so that a
 * compilation from scratch gives the same kernel state as any history of incremental ones: a restart writes nothing.
 */

/** MurmurHash3 x86_32 over the UTF-16 code units of the text; 32-bit unsigned. Not cryptographic: collisions are handled by the caller. */
export function hash32(text: string, seed = 0): number {
  let h = seed | 0;
  for (let i = 0; i < text.length; i += 1) {
    let k = Math.imul(text.charCodeAt(i), 0xcc9e2d51);
    k = (k << 15) | (k >>> 17);
    h ^= Math.imul(k, 0x1b873593);
    h = (h << 13) | (h >>> 19);
    h = (Math.imul(h, 5) + 0xe6546b64) | 0;
  }
  h ^= text.length;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Eight hex digits. */
export function hashHex(text: string): string {
  return hash32(text).toString(16).padStart(8, '0');
}

/**
 * Numbers for texts: the same text always gets the same number unless two texts of one space collide; then the later asker
 * gets the next seed's. 0 is never given.
 */
export class HashedIds {
  private readonly byText = new Map<string, number>();
  private readonly byId = new Map<number, string>();

  id(text: string): number {
    const known = this.byText.get(text);
    if (known !== undefined) return known;
    for (let seed = 0; ; seed += 1) {
      const candidate = hash32(text, seed);
      if (candidate === 0 || this.byId.has(candidate)) continue;
      this.byText.set(text, candidate);
      this.byId.set(candidate, text);
      return candidate;
    }
  }

  /** The text behind a number given out, or undefined. */
  text(id: number): string | undefined {
    return this.byId.get(id);
  }
}
