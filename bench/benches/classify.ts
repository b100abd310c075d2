/** What a packet costs under many rules: new connections and established ones, forwarded through a router with one vNIC. */
import { availableParallelism } from 'node:os';
import type { Report } from '../lib/report.js';
import { row, type Goal, type Row } from '../lib/row.js';
import { inSandbox } from '../lib/sandbox.js';
import { median } from '../lib/statistics.js';
import type { PolicyOptions } from '../model/policy.js';
import type { BenchContext } from './bench.js';
import type { ClassifyRequest, Variant } from './classify-request.js';

interface Comparison {
  readonly measure: string;
  readonly ours: string;
  readonly peer: string;
  readonly goals: readonly Goal[];
}

function policy(rules: number, groups: number, addresses: number): PolicyOptions {
  return { rules, groups, addresses, applications: Math.ceil(addresses / 3), shape: 'in' };
}

export async function classify(context: BenchContext): Promise<Report> {
  const [few, some, many, vnics] = context.quick ? [10, 50, 200, 3] : [10, 1_000, 10_000, 200];
  const small = policy(few, few, 600);
  const middle = policy(some, context.quick ? 20 : 500, context.quick ? 600 : 6_000);
  const large = policy(many, context.quick ? 20 : 500, context.quick ? 600 : 6_000);
  const own = policy(context.quick ? 20 : 500, context.quick ? 20 : 100, 1_500);
  const fresh: readonly Variant[] = [
    { name: 'no rules, no conntrack', rules: 'none', traffic: 'new', policy: large, vnics: 0 },
    { name: 'conntrack and one accept rule', rules: 'conntrack', traffic: 'new', policy: large, vnics: 0 },
    { name: `ours, ${few} rules`, rules: 'ours', traffic: 'new', policy: small, vnics: 1 },
    { name: `ours, ${many} rules`, rules: 'ours', traffic: 'new', policy: large, vnics: 1 },
    { name: `linear nft, ${some} rules`, rules: 'linear', traffic: 'new', policy: middle, vnics: 0 },
    { name: `linear nft, ${some} rules, interval sets`, rules: 'linear', traffic: 'new', policy: middle, vnics: 0, intervalSets: true },
    { name: 'ours, one vNIC', rules: 'ours', traffic: 'new', policy: own, vnics: 1 },
    { name: `ours, one vNIC of ${vnics}`, rules: 'ours', traffic: 'new', policy: own, vnics },
  ];
  const established: readonly Variant[] = [
    { name: 'no rules, no conntrack', rules: 'none', traffic: 'established', policy: large, vnics: 0 },
    { name: 'conntrack and one accept rule', rules: 'conntrack', traffic: 'established', policy: large, vnics: 0 },
    { name: `ours, ${many} rules`, rules: 'ours', traffic: 'established', policy: large, vnics: 1 },
  ];
  const rows: Row[] = [
    ...await measure(context, fresh, 'new connections', [
      { measure: `new connections/s at ${many} rules`, ours: `ours, ${many} rules`, peer: `ours, ${few} rules`, goals: [{ kind: 'at least', value: 0.85, of: 'ratio' }] },
      { measure: `new connections/s at ${many} rules`, ours: `ours, ${many} rules`, peer: `linear nft, ${some} rules`, goals: [{ kind: 'at least', value: 10, of: 'ratio' }] },
      { measure: `new connections/s at ${many} rules`, ours: `ours, ${many} rules`, peer: `linear nft, ${some} rules, interval sets`, goals: [{ kind: 'at least', value: 10, of: 'ratio' }] },
      { measure: `new connections/s of one vNIC of ${vnics}, each with ${own.rules} rules of its own`, ours: `ours, one vNIC of ${vnics}`, peer: 'ours, one vNIC', goals: [{ kind: 'at least', value: 0.95, of: 'ratio' }] },
      { measure: `new connections/s at ${many} rules`, ours: `ours, ${many} rules`, peer: 'conntrack and one accept rule', goals: [] },
    ]),
    ...await measure(context, established, 'established', [
      { measure: `established packets/s at ${many} rules`, ours: `ours, ${many} rules`, peer: 'conntrack and one accept rule', goals: [{ kind: 'at least', value: 0.95, of: 'ratio' }] },
    ]),
  ];
  return {
    bench: 'classify', rows,
    notes: [
      'UDP over veth, 60 bytes, one processor sends and forwards; every variant in a router namespace of its own, bursts in turn; every packet must arrive',
      'rates are 1e9 / nanoseconds a packet, of the whole way from sending to the drop behind the vNIC; "no rules, no conntrack" is that way alone',
    ],
  };
}

async function measure(context: BenchContext, variants: readonly Variant[], kind: string, comparisons: readonly Comparison[]): Promise<Row[]> {
  context.progress(kind);
  const request: ClassifyRequest = {
    variants, rounds: context.quick ? 3 : 150, burst: 256, processor: availableParallelism() - 1, directory: context.directory,
  };
  const { times } = await inSandbox('classify', request, { timeoutMs: 540_000 }) as { times: number[][] };
  const rates = new Map(variants.map((variant, index) => [variant.name, (times[index] ?? []).map((ns) => 1e9 / ns)]));
  const nanoseconds = variants.map((variant, index) => row({ measure: `${kind}: ${variant.name}`, unit: 'ns/packet', ours: times[index] ?? [] }));
  const base = median(times[0] ?? []);
  context.progress(nanoseconds.map(({ measure: name, ours }) => `${name}: ${Math.round(ours.median)} ns (+${Math.round(ours.median - base)})`).join('; '));
  return [
    ...nanoseconds,
    ...comparisons.map(({ measure: name, ours, peer, goals }) => row({
      measure: name, unit: '/s', ours: rates.get(ours) ?? [], peer: { name: peer, values: rates.get(peer) ?? [] }, goals,
    })),
  ];
}
