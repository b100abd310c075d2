/** Incremental change: one address more in a set, one rule more in the middle, against the nft command doing the same. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Report } from '../lib/report.js';
import { row, type Goal, type Row } from '../lib/row.js';
import { inSandbox } from '../lib/sandbox.js';
import { linearRules, linearRuleset } from '../model/linear.js';
import { addressText, makePolicy, type PolicyOptions } from '../model/policy.js';
import type { BenchContext } from './bench.js';
import type { UpdateRequest } from './update-request.js';

const AROUND: PolicyOptions = { rules: 300, addresses: 3000, groups: 50, applications: 100, shape: 'in' };
const TIMES: readonly Goal[] = [{ kind: 'at most', value: 1, of: 'median' }, { kind: 'at most', value: 5, of: 'p99' }];

export async function update(context: BenchContext): Promise<Report> {
  const sizes = context.quick ? [100, 1_000] : [1_000, 100_000];
  const changes = context.quick ? 5 : 300;
  const rows: Row[] = [];
  for (const [change, direction, what] of [
    ['address', 'in', 'object to kernel'], ['address-delta', 'in', 'delta to kernel'], ['address', 'inout', 'object to kernel, rules of both directions'],
  ] as const) {
    const measured: number[][] = [];
    for (const members of sizes) {
      context.progress(`one address more in ${members}, ${what}`);
      // A change that compiles anew is slow: fewer of them say the same.
      const count = direction === 'inout' ? Math.ceil(changes / 10) : changes;
      const ours = await ourTimes({ change, policy: AROUND, members, direction, changes: count });
      const peer = await addElements(context, members, false);
      const intervals = await addElements(context, members, true);
      measured.push(ours);
      for (const [name, values] of [['nft add element, set of hosts', peer], ['nft add element, set that may hold prefixes', intervals]] as const) {
        rows.push(row({
          measure: `one address more in ${members}, ${what}`, unit: 'ms', ours, peer: { name, values },
          // nft reads the whole of a set that may hold prefixes: small ones cost it little.
          goals: members === sizes[1] ? [{ kind: 'at most', value: 0.01, of: 'ratio' }, ...TIMES] : TIMES,
        }));
      }
    }
    const [small = [], large = []] = measured;
    rows.push(row({
      measure: `the same at ${sizes[1] ?? 0} and ${sizes[0] ?? 0}, ${what}`, unit: 'ms', ours: large, peer: { name: `ours at ${sizes[0] ?? 0}`, values: small },
      goals: [{ kind: 'at most', value: 1.25, of: 'ratio' }],
    }));
  }
  rows.push(...await rules(context));
  return {
    bench: 'update', rows,
    notes: [
      `around the changing set: ${AROUND.rules} rules, ${AROUND.groups} groups; one process that stays; the file's reading and decoding excluded`,
      'rule: a new table object with one rule more, compiled and applied; peer: the chain flushed and written again from a prepared file',
    ],
  };
}

async function rules(context: BenchContext): Promise<Row[]> {
  const rows: Row[] = [];
  for (const count of context.quick ? [100] : [1_000, 10_000]) {
    const policy: PolicyOptions = { rules: count, addresses: context.quick ? 300 : 6_000, groups: context.quick ? 20 : 500, applications: context.quick ? 40 : 2_000, shape: 'in' };
    const made = makePolicy(policy);
    const load = join(context.directory, `rules-${count}.nft`);
    const rewrite = join(context.directory, `rewrite-${count}.nft`);
    await writeFile(load, linearRuleset(made, 'vnic0'));
    const lines = linearRules(made.rules, 'in');
    const middle = lines.length >> 1;
    const chain = [...lines.slice(0, middle), 'tcp dport 60100 accept', ...lines.slice(middle)];
    await writeFile(rewrite, `flush chain inet linear in\ntable inet linear {\nchain in {\n${chain.join('\n')}\n}\n}\n`);
    const ours: number[] = [];
    const peer: number[] = [];
    const rounds = context.quick ? 1 : 4;
    const each = context.quick ? 2 : 6;
    for (let round = 0; round < rounds; round += 1) {
      context.progress(`one rule more in ${count}, round ${round + 1} of ${rounds}`);
      ours.push(...await ourTimes({ change: 'rule', policy, members: 0, direction: 'in', changes: each }));
      peer.push(...await nftTimes({ load, runs: Array.from({ length: each }, () => ['-f', rewrite]) }));
    }
    rows.push(row({
      measure: `one rule more in the middle of ${count}`, unit: 'ms', ours, peer: { name: 'nft -f of the chain', values: peer },
      goals: [{ kind: 'at most', value: 0.1, of: 'ratio' }],
    }));
  }
  return rows;
}

async function ourTimes(request: UpdateRequest): Promise<number[]> {
  return (await inSandbox('update-ours', request) as { times: number[] }).times;
}

async function nftTimes(request: { readonly load: string; readonly runs: readonly (readonly string[])[] }): Promise<number[]> {
  return (await inSandbox('update-nft', request) as { times: number[] }).times;
}

async function addElements(context: BenchContext, members: number, prefixes: boolean): Promise<number[]> {
  const file = join(context.directory, `elements-${members}${prefixes ? '-intervals' : ''}.nft`);
  const first = 0x0b00_0000;
  const elements = Array.from({ length: members }, (_, index) => addressText(first + 2 * index));
  await writeFile(file, `table inet linear {\nset big { type ipv4_addr;${prefixes ? ' flags interval;' : ''} elements = { ${elements.join(', ')} } }\n}\n`);
  const runs = Array.from({ length: context.quick ? 2 : 11 }, (_, index) => ['add', 'element', 'inet', 'linear', 'big', `{ ${addressText(first + 2 * members + 8 * index)} }`]);
  return nftTimes({ load: file, runs });
}
