/** Cold programming: a large table for one vNIC, from decoded objects to committed, against `nft -f` of the linear ruleset. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Report } from '../lib/report.js';
import { row, type Row } from '../lib/row.js';
import { inSandbox } from '../lib/sandbox.js';
import { median } from '../lib/statistics.js';
import { linearRuleset } from '../model/linear.js';
import { makePolicy, type PolicyOptions } from '../model/policy.js';
import type { BenchContext } from './bench.js';

interface Ours {
  readonly total: number;
  readonly compile: number;
  readonly apply: number;
  readonly elements: number;
  readonly bytes: number;
  readonly regions: number;
  readonly classes: number;
}

const INTERFACE = 'vnic0';

export async function program(context: BenchContext): Promise<Report> {
  const size = context.quick ? { rules: 200, addresses: 600, groups: 20, applications: 40 } : { rules: 10_000, addresses: 100_000, groups: 500, applications: 2_000 };
  const rounds = context.quick ? 1 : 7;
  const rows: Row[] = [];
  const notes: string[] = [];
  for (const shape of ['peers', 'both'] as const) {
    const policy: PolicyOptions = { ...size, shape };
    const file = join(context.directory, `${shape}.nft`);
    await writeFile(file, linearRuleset(makePolicy(policy), INTERFACE));
    const ours: Ours[] = [];
    const peer: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      context.progress(`${shape}, round ${round + 1} of ${rounds}`);
      ours.push(await inSandbox('program-ours', { policy, interfaceName: INTERFACE }) as Ours);
      peer.push((await inSandbox('nft-file', [file]) as { ms: number }).ms);
    }
    const measure = shape === 'peers' ? 'rules that name the peer' : 'rules that name both ends';
    rows.push(row({
      measure: `cold, ${size.rules} rules and ${size.addresses} addresses, ${measure}`, unit: 'ms', ours: ours.map(({ total }) => total),
      peer: { name: 'nft -f, linear rules, the same sets', values: peer }, goals: [{ kind: 'at most', value: 0.6, of: 'ratio' }],
    }));
    const [one] = ours;
    if (one !== undefined) {
      notes.push(`${measure}: compile ${Math.round(median(ours.map(({ compile }) => compile)))} ms, apply ${Math.round(median(ours.map(({ apply }) => apply)))} ms; `
        + `${one.classes} classes, ${one.regions} regions, ${one.elements} elements, ${one.bytes} bytes of netlink`);
    }
  }
  notes.push('each round: a fresh process and namespace for either side; ours without process start and decoding, nft with both');
  return { bench: 'program', rows, notes };
}
