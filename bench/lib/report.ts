/** Prints a benchmark's rows as a table and keeps them as JSON. */
import Table from 'cli-table3';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { command } from './command.js';
import type { Goal, Row } from './row.js';
import type { Summary } from './statistics.js';

export interface Report {
  readonly bench: string;
  readonly rows: readonly Row[];
  /** Sizes and circumstances, in words. */
  readonly notes: readonly string[];
}

export function printReport(report: Report, print: (text: string) => void): void {
  const table = new Table({ head: ['measure', 'ours', 'peer', 'ratio (p10..p90)', 'goal', ''], style: { head: [], border: [] } });
  for (const row of report.rows) {
    table.push([
      row.measure,
      `${amount(row.ours.median)} ${row.unit}${spread(row.ours)}`,
      row.peer === undefined ? '-' : `${amount(row.peer.median)} ${row.unit}${spread(row.peer)}\n${row.peer.name}`,
      row.ratio === undefined ? '-' : `${amount(row.ratio.median)} (${amount(row.ratio.p10)}..${amount(row.ratio.p90)})`,
      row.goals.map(goalText).join('\n'),
      row.goals.map((goal) => (goal.met ? 'met' : 'MISSED')).join('\n'),
    ]);
  }
  print(`\n${report.bench}\n${table.toString()}\n${report.notes.map((note) => `  ${note}\n`).join('')}`);
}

/** Writes DIRECTORY/BENCH.json in one step; returns its path. */
export async function writeReport(report: Report, directory: string, startedAt: Date): Promise<string> {
  await mkdir(directory, { recursive: true });
  const path = join(directory, `${report.bench}.json`);
  const machine = {
    kernel: release(), processors: availableParallelism(), model: cpus()[0]?.model ?? '', memoryBytes: totalmem(), node: process.version,
    nft: (await command('nft', ['--version'])).stdout.trim(), loadAverage: loadavg(),
  };
  const content = { bench: report.bench, startedAt: startedAt.toISOString(), finishedAt: new Date().toISOString(), machine, rows: report.rows, notes: report.notes };
  await writeFile(`${path}.tmp`, `${JSON.stringify(content, undefined, 2)}\n`);
  await rename(`${path}.tmp`, path);
  return path;
}

function goalText(goal: Goal): string {
  const about = goal.of === 'ratio' ? '' : `${goal.of} `;
  return `${about}${goal.kind === 'at most' ? '≤' : '≥'} ${amount(goal.value)}`;
}

function spread(summary: Summary): string {
  return summary.count < 2 ? '' : ` (${amount(summary.p10)}..${amount(summary.p90)}${summary.count >= 100 ? `, p99 ${amount(summary.p99)}` : ''})`;
}

/** Three significant digits, large numbers whole. */
export function amount(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(3)));
}
