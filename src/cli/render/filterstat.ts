/** Counters of a filter in the sections of `vsipioctl getfilterstat`. */
import type { FilterStatView } from '../../model/views.js';
import { printable } from './printable.js';

const LABEL = 28;
const CELL = 16;

export function filterStatText(stat: FilterStatView): string {
  return [
    `${heading('PACKETS', 'IN', 'OUT')}${passDrop(stat.packets)}`,
    `${heading('BYTES', 'IN', 'OUT')}${passDrop(stat.bytes)}`,
    `${heading('DROP REASON')}${counters(stat.dropReasons)}`,
    `${heading('MISCELLANEOUS')}${counters(stat.miscellaneous)}`,
    `${heading('FILTER INFO')}${row('filter name', stat.filter)}`,
  ].join('\n');
}

function heading(title: string, ...columns: string[]): string {
  const cells = (text: (cell: string) => string): string => columns.map((column) => text(column).padEnd(CELL)).join('');
  const rule = (cell: string): string => '-'.repeat(cell.length);
  return `${`${title.padEnd(LABEL)}${cells((cell) => cell)}`.trimEnd()}\n${`${rule(title).padEnd(LABEL)}${cells(rule)}`.trimEnd()}\n`;
}

function row(label: string, ...values: string[]): string {
  return `${`${`${label}:`.padEnd(LABEL - 1)} ${values.map((value) => value.padEnd(CELL)).join('')}`.trimEnd()}\n`;
}

function passDrop(view: FilterStatView['packets']): string {
  return [
    row('v4 pass', String(view.v4PassIn), String(view.v4PassOut)),
    row('v4 drop', String(view.v4DropIn), String(view.v4DropOut)),
    row('v6 pass', String(view.v6PassIn), String(view.v6PassOut)),
    row('v6 drop', String(view.v6DropIn), String(view.v6DropOut)),
  ].join('');
}

function counters(values: Readonly<Record<string, number>>): string {
  return Object.entries(values).map(([name, count]) => row(printable(name), String(count))).join('');
}
