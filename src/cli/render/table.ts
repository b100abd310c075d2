/** Aligned columns without borders, two spaces apart, as kubectl prints lists; the last column is not padded. */
import { printable } from './printable.js';

export interface Column<T> {
  readonly title: string;
  readonly align?: 'left' | 'right';
  cell(row: T): string;
}

/** Header and one line a row, each ended by a newline; an empty list prints the header alone. */
export function table<T>(columns: readonly Column<T>[], rows: readonly T[]): string {
  const lines = [columns.map((column) => column.title), ...rows.map((row) => columns.map((column) => printable(column.cell(row)) || '-'))];
  const widths = columns.map((_, index) => lines.reduce((widest, line) => Math.max(widest, line[index]?.length ?? 0), 0));
  return lines.map((line) => `${line.map((cell, index) => pad(cell, widths[index] ?? 0, columns[index]?.align, index === line.length - 1)).join('  ')}\n`).join('');
}

function pad(cell: string, width: number, align: 'left' | 'right' | undefined, last: boolean): string {
  if (align === 'right') return cell.padStart(width);
  return last ? cell : cell.padEnd(width);
}
