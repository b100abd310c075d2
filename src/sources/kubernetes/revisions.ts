/**
 * Revisions of the API server. The API calls them opaque; where both are whole numbers, as etcd's are, they can be compared
 * (KEP-5504, "Comparable Resource Version", makes that a promise). Elsewhere only equality counts.
 */
const WHOLE = /^\d{1,32}$/;

/** True when `later` is certainly older than `earlier`: the server went back, as after its backup was restored. */
export function wentBack(earlier: string, later: string): boolean {
  return WHOLE.test(earlier) && WHOLE.test(later) && BigInt(later) < BigInt(earlier);
}
