/**
 * One copy of what comes again and again among a hundred thousand objects: strings (nodes, namespaces), and small values (labels and ports
 * of the Pods of one Deployment). Pure; what is given back must not be changed.
 */
export class ValuePool {
  private readonly strings = new Map<string, string>();
  private readonly values = new Map<string, unknown>();

  /** `limit`: of each sort, so many are kept; what comes later is given back as it is. */
  constructor(private readonly limit = 50_000) {}

  text(text: string): string {
    const known = this.strings.get(text);
    if (known !== undefined) return known;
    if (this.strings.size < this.limit) this.strings.set(text, text);
    return text;
  }

  /** The one like it that was given first. `T` is what JSON can say. */
  value<T extends object>(value: T): T {
    const text = JSON.stringify(value);
    const known = this.values.get(text);
    // Its text is the same, so its type is.
    if (known !== undefined) return known as T;
    if (this.values.size < this.limit) this.values.set(text, value);
    return value;
  }
}
