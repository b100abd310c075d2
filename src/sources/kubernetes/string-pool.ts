/** One copy of strings that come again and again: nodes, namespaces, values of labels. Pure. */
export class StringPool {
  private readonly known = new Map<string, string>();

  /** `limit`: strings kept; what comes later is given back as it is. */
  constructor(private readonly limit = 100_000) {}

  share(text: string): string {
    const known = this.known.get(text);
    if (known !== undefined) return known;
    if (this.known.size < this.limit) this.known.set(text, text);
    return text;
  }
}
