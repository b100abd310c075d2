/**
 * Content hashes for kernel identifiers. Class, profile and region numbers are hashes of what they stand for, so that a
 * compilation from scratch gives the same kernel state as any history of incremental ones: a restart writes nothing.
 */
import { hash32 } from '../model/text-hash.js';

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
