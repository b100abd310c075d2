/** Who waits for which transaction. */
import type { AgentError } from '../../../model/errors.js';
import type { Message } from './message.js';
import { refused } from './switch-errors.js';
import type { SwitchError } from './switch-errors.js';

/** Takes one message; true: it was the last. What it throws ends the waiting. */
export type Accept = (message: Message) => boolean;

interface Waiting {
  readonly what: string;
  readonly accept: Accept;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Single requests; above them stand the numbers of messages that are sent by the thousand. */
const LAST_SINGLE = 0x7fff_ffff;
const FIRST_OF_MANY = 0x8000_0000;
const LAST_OF_MANY = 0xffff_ffff;

/** Transaction ids of a row of messages, of which only refusals are heard. */
export class Batch {
  /** The first refusal: place in the row, counted from 0, and why. */
  refusal: { readonly index: number; readonly error: SwitchError } | undefined;
  #count = 0;

  constructor(readonly first: number) {}

  get count(): number {
    return this.#count;
  }

  next(): number {
    this.#count += 1;
    return wrap(this.first + this.#count - 1);
  }

  /** Undefined when the id is not of this row. */
  indexOf(xid: number): number | undefined {
    if (xid < FIRST_OF_MANY) return undefined;
    const span = LAST_OF_MANY - FIRST_OF_MANY + 1;
    const index = (xid - this.first + span) % span;
    return index < this.#count ? index : undefined;
  }
}

function wrap(xid: number): number {
  return xid > LAST_OF_MANY ? xid - (LAST_OF_MANY - FIRST_OF_MANY + 1) : xid;
}

export class PendingRequests {
  readonly #waiting = new Map<number, Waiting>();
  #lastXid = 0;
  #nextOfMany = FIRST_OF_MANY;
  #batch: Batch | undefined;

  get size(): number {
    return this.#waiting.size;
  }

  /** A transaction id of its own, and what resolves with the last reply. `what` is for the error when it is refused. */
  open(what: string, accept: Accept): { readonly xid: number; readonly done: Promise<void> } {
    do {
      this.#lastXid = this.#lastXid >= LAST_SINGLE ? 1 : this.#lastXid + 1;
    } while (this.#waiting.has(this.#lastXid));
    const xid = this.#lastXid;
    const done = new Promise<void>((resolve, reject) => {
      this.#waiting.set(xid, { what, accept, resolve, reject });
    });
    return { xid, done };
  }

  /** One row at a time; `closeBatch` ends it. */
  openBatch(): Batch {
    this.#batch = new Batch(this.#nextOfMany);
    return this.#batch;
  }

  closeBatch(batch: Batch): void {
    this.#nextOfMany = wrap(batch.first + batch.count);
    if (this.#batch === batch) this.#batch = undefined;
  }

  /** False when nobody waits for it. */
  reply(message: Message): boolean {
    const waiting = this.#waiting.get(message.xid);
    if (waiting === undefined) return false;
    let last = true;
    try {
      last = waiting.accept(message);
    } catch (error) {
      this.#waiting.delete(message.xid);
      waiting.reject(error);
      return true;
    }
    if (last) {
      this.#waiting.delete(message.xid);
      waiting.resolve();
    }
    return true;
  }

  /** False when nobody waits for it. */
  refuse(xid: number, error: SwitchError): boolean {
    const waiting = this.#waiting.get(xid);
    if (waiting !== undefined) {
      this.#waiting.delete(xid);
      waiting.reject(refused(error, waiting.what));
      return true;
    }
    const index = this.#batch?.indexOf(xid);
    if (this.#batch === undefined || index === undefined) return false;
    this.#batch.refusal ??= { index, error };
    return true;
  }

  /** Nobody waits any more for this one; its reply will be ignored. */
  drop(xid: number, reason: AgentError): void {
    const waiting = this.#waiting.get(xid);
    this.#waiting.delete(xid);
    waiting?.reject(reason);
  }

  rejectAll(reason: AgentError): void {
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of all) reject(reason);
  }
}
