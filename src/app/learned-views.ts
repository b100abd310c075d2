/** Learned addresses as agentctl shows them. */
import type { BindingRow } from '../discovery/addresses/binding-rows.js';
import type { Filter } from '../model/filter.js';
import type { LearnedAddressView } from '../model/views.js';

export function learnedViews(rows: readonly BindingRow[], filters: readonly Filter[]): LearnedAddressView[] {
  return rows.map((row) => learnedView(row, filters));
}

/** `filter` is '' while the vNIC has none in force. */
export function learnedView({ attachment, since, lastSeen, expires, ...row }: BindingRow, filters: readonly Filter[]): LearnedAddressView {
  const at = (ms: number): string => new Date(ms).toISOString();
  return {
    filter: filters.find((filter) => filter.attachment === attachment)?.name ?? '', ...row, since: at(since), lastSeen: at(lastSeen),
    ...(expires === undefined ? {} : { expires: at(expires) }),
  };
}
