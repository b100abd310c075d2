import type { LearnedAddressView } from '../../model/views.js';
import { table } from './table.js';

export function learnedAddressesText(rows: readonly LearnedAddressView[]): string {
  return table([
    { title: 'FILTER', cell: (row) => row.filter },
    { title: 'INTERFACE', cell: (row) => row.interface },
    { title: 'ADDRESS', cell: (row) => row.address },
    { title: 'BY', cell: (row) => row.by },
    { title: 'STATE', cell: (row) => row.state },
    { title: 'MODE', cell: (row) => row.mode },
    { title: 'SINCE', cell: (row) => row.since },
    { title: 'EXPIRES', cell: (row) => row.expires ?? '' },
    { title: 'OWNER', cell: (row) => row.owner },
  ], rows);
}
