/** npm run bench -- NAME [--quick]: see scripts/bench. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bench } from './benches/bench.js';
import { classify } from './benches/classify.js';
import { churn, compile } from './benches/cluster.js';
import { flows } from './benches/flows.js';
import { memory } from './benches/memory.js';
import { mirror } from './benches/mirror.js';
import { ovs } from './benches/ovs.js';
import { program } from './benches/program.js';
import { sources } from './benches/sources.js';
import { update } from './benches/update.js';
import { ROOT } from './lib/datapath.js';
import { printReport, writeReport } from './lib/report.js';

const BENCHES: ReadonlyMap<string, Bench> = new Map([['program', program], ['compile', compile], ['churn', churn], ['update', update], ['classify', classify], ['flows', flows], ['memory', memory], ['ovs', ovs], ['mirror', mirror], ['sources', sources]]);

async function main(args: readonly string[]): Promise<number> {
  const quick = args.includes('--quick');
  const names = args.filter((argument) => !argument.startsWith('--'));
  const wanted = names.length === 1 && names[0] === 'all' ? [...BENCHES.keys()] : names;
  const unknown = wanted.filter((name) => !BENCHES.has(name));
  if (wanted.length === 0 || unknown.length > 0 || args.some((argument) => argument.startsWith('--') && argument !== '--quick')) {
    process.stderr.write(`usage: npm run bench -- NAME [--quick]; NAME: ${[...BENCHES.keys()].join(', ')} or all\n`);
    return 2;
  }
  const directory = await mkdtemp(join(tmpdir(), 'dfw-bench-'));
  try {
    for (const name of wanted) {
      const bench = BENCHES.get(name);
      if (bench === undefined) continue;
      const startedAt = new Date();
      const report = await bench({ quick, directory, progress: (text) => process.stderr.write(`${name}: ${text}\n`) });
      printReport(report, (text) => process.stdout.write(text));
      const path = await writeReport(report, join(ROOT, 'bench/results', ...(quick ? ['quick'] : [])), startedAt);
      process.stdout.write(`  written to ${path}\n`);
    }
    return 0;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

process.exitCode = await main(process.argv.slice(2));
