/** Resident memory of the agent with a large desired state in force. */
import type { Report } from '../lib/report.js';
import { row, type Row } from '../lib/row.js';
import { inSandbox } from '../lib/sandbox.js';
import type { BenchContext } from './bench.js';

interface Answer {
  readonly residentMb: number;
  readonly peakMb: number;
  readonly readyMs: number;
  readonly status: { readonly filters: number; readonly rules: number; readonly addresses: number };
}

export async function memory(context: BenchContext): Promise<Report> {
  const size = context.quick ? { filters: 4, rules: 80, addresses: 400, groups: 16 } : { filters: 200, rules: 10_000, addresses: 100_000, groups: 600 };
  const rows: Row[] = [];
  const notes: string[] = [];
  for (const tables of context.quick ? [2] : [20, 200]) {
    const answers: Answer[] = [];
    for (let round = 0; round < (context.quick ? 1 : 3); round += 1) {
      context.progress(`${tables} tables, round ${round + 1}`);
      answers.push(await inSandbox('memory', { ...size, tables, directory: context.directory }) as Answer);
    }
    const what = `${size.rules} rules in ${tables} tables, ${size.addresses} addresses, ${size.filters} filters`;
    rows.push(row({ measure: `agent resident, ${what}`, unit: 'MB', ours: answers.map(({ residentMb }) => residentMb), goals: [{ kind: 'at most', value: 150, of: 'median' }] }));
    rows.push(row({ measure: 'its peak since the start', unit: 'MB', ours: answers.map(({ peakMb }) => peakMb) }));
    rows.push(row({ measure: 'start to all in force, files read', unit: 'ms', ours: answers.map(({ readyMs }) => readyMs) }));
    const [one] = answers;
    if (one !== undefined) notes.push(`${tables} tables: status says ${one.status.filters} filters, ${one.status.rules} rules over all filters, ${one.status.addresses} addresses`);
  }
  notes.push('read 3 s after the agent said that all is realized; a rule counts once for each filter that has it (a host takes 120,000)');
  return { bench: 'memory', rows, notes };
}
