/**
 * Objects that are in force though the sources no longer hold them in that version (see PolicyEngine.held), kept in the state directory: a
 * restart must not open what a held drop closes.
 */
import type { DesiredObject } from '../model/objects.js';
import { describeError } from '../model/errors.js';
import type { Logger } from '../platform/logger.js';
import type { NumberStore } from './stored-numbers.js';

export class HeldObjects {
  private written: string | undefined;

  constructor(private readonly store: NumberStore, private readonly log: Logger) {}

  /** What was stored; nothing when it cannot be read, which is said. */
  load(): DesiredObject[] {
    const text = this.store.read();
    this.written = text;
    if (text === undefined) return [];
    try {
      const stored: unknown = JSON.parse(text);
      return Array.isArray(stored) ? stored.filter(isObject) : [];
    } catch (error) {
      this.log.error('held.unreadable', { error: describeError(error) });
      return [];
    }
  }

  async save(objects: readonly DesiredObject[]): Promise<void> {
    if (objects.length === 0 && this.written === undefined) return;
    const text = `${JSON.stringify(objects)}\n`;
    if (text === this.written) return;
    await this.store.write(text);
    this.written = text;
  }
}

/** Written by ourselves, decoded before: its shape needs no second check. */
function isObject(value: unknown): value is DesiredObject {
  return typeof value === 'object' && value !== null && 'kind' in value && 'metadata' in value;
}
