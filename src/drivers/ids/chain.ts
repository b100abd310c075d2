/** A list whose entries leave from anywhere at no cost: a Map's front grows holes that every look at its oldest entry walks over. */
export interface Link<T> {
  readonly value: T;
  before: Link<T> | undefined;
  after: Link<T> | undefined;
}

/** Doubly linked, oldest first. A link must be removed once at most, and from its own chain. */
export class Chain<T> {
  #first: Link<T> | undefined;
  #last: Link<T> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The oldest; undefined when empty. */
  get first(): T | undefined {
    return this.#first?.value;
  }

  append(value: T): Link<T> {
    const link: Link<T> = { value, before: this.#last, after: undefined };
    if (this.#last === undefined) this.#first = link;
    else this.#last.after = link;
    this.#last = link;
    this.#size += 1;
    return link;
  }

  remove(link: Link<T>): void {
    if (link.before === undefined) this.#first = link.after;
    else link.before.after = link.after;
    if (link.after === undefined) this.#last = link.before;
    else link.after.before = link.before;
    this.#size -= 1;
  }

  /** Newest first. Entries may be removed meanwhile, those not reached yet excepted. */
  *newestFirst(): Generator<T> {
    for (let link = this.#last; link !== undefined; link = link.before) yield link.value;
  }

  *oldestFirst(): Generator<T> {
    for (let link = this.#first; link !== undefined; link = link.after) yield link.value;
  }
}
