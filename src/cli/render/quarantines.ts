import type { QuarantineView } from '../../model/views.js';
import { printable } from './printable.js';
import { table } from './table.js';

export function quarantinesText(quarantines: readonly QuarantineView[]): string {
  return table([
    { title: 'NAME', cell: (entry) => entry.name },
    { title: 'SINCE', cell: (entry) => entry.since },
    { title: 'UNTIL', cell: (entry) => entry.until },
    { title: 'BY', cell: (entry) => entry.by },
    { title: 'FILTERS', cell: (entry) => entry.filters.join(',') },
    { title: 'ALERT', cell: (entry) => entry.alertId ?? '' },
    { title: 'REASON', cell: (entry) => entry.reason },
  ], quarantines);
}

export function quarantineText({ name, until, filters }: QuarantineView): string {
  return `${printable(`${name} is cut off until ${until}, at ${filters.length === 0 ? 'no filter of this host' : filters.join(', ')}`)}\n`;
}
