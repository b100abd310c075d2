import type { ChangeView } from '../../model/views.js';
import { printable } from './printable.js';

/** "Kind/name operation", a line a change. */
export function changesText(changes: readonly ChangeView[], suffix = ''): string {
  return changes.map((change) => `${printable(change.object)} ${change.operation}${suffix}\n`).join('');
}
