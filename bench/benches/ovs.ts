/** The Open vSwitch datapath beside ovs-ofctl and OVN: userspace switches, each side on one of its own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ovnInstalled } from '../lib/ovn.js';
import type { Report } from '../lib/report.js';
import { row, type Row } from '../lib/row.js';
import { inSandbox } from '../lib/sandbox.js';
import type { GroupsPolicy } from '../model/groups-policy.js';
import type { PolicyOptions } from '../model/policy.js';
import type { BenchContext } from './bench.js';
import type { AddressAnswer, ColdAnswer, ConnectionsAnswer, MemoryAnswer, ReplaceAnswer } from './ovs-request.js';

export async function ovs(context: BenchContext): Promise<Report> {
  const policy: GroupsPolicy = context.quick ? { rules: 20, addressesEach: 50, ports: 3 } : { rules: 1_000, addressesEach: 100, ports: 20 };
  const notes: string[] = [];
  if (!await ovnInstalled()) notes.push('OVN is not installed and could not be had: its rows have no peer, and their goals cannot be met');
  const rows: Row[] = [
    ...await replaced(context, policy, notes),
    ...await address(context, policy.ports),
    ...await cold(context, policy, notes),
    ...await connections(context, notes),
    ...await memory(context, policy, notes),
  ];
  notes.push('userspace datapath, ovs-vswitchd of Debian; every side on a switch of its own in a namespace of its own, in turn, round by round');
  return { bench: 'ovs', rows, notes };
}

async function measured(context: BenchContext, name: string, what: string, request: object): Promise<unknown> {
  context.progress(what);
  // Short: sockets stand in it.
  const directory = await mkdtemp(join(tmpdir(), 'dfwb-'));
  try {
    return await inSandbox(name, { ...request, directory }, { timeoutMs: 540_000 });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function replaced(context: BenchContext, policy: GroupsPolicy, notes: string[]): Promise<Row[]> {
  const { flows, cases } = await measured(context, 'ovs-replace', 'all flows replaced', { policy, rounds: context.quick ? 2 : 6 }) as ReplaceAnswer;
  notes.push(`replaced: ${flows} flows; ours from one compiled target to another, in one process that stays; the peer reads its file and the switch`);
  return ([['actions', 'other actions'], ['matches', 'other matches: as many removed as added']] as const).map(([key, what]) => row({
    measure: `${policy.rules * policy.addressesEach} flows replaced, ${what}`, unit: 'ms', ours: cases[key].ours, peer: { name: 'ovs-ofctl --bundle replace-flows', values: cases[key].peer },
    goals: [{ kind: 'at most', value: 1, of: 'ratio' }],
  }));
}

async function address(context: BenchContext, ports: number): Promise<Row[]> {
  const members = context.quick ? 200 : 10_000;
  const { ours, settled, fresh, daemon } = await measured(context, 'ovs-address', 'one address more', { members, rules: 5, ports, rounds: context.quick ? 3 : 40 }) as AddressAnswer;
  const rows: Row[] = [];
  const goals = [{ kind: 'at most', value: 0.2, of: 'ratio' }] as const;
  for (const [values, what, wanted] of [[ours, 'object to committed', goals], [settled, 'object to every cached flow', []]] as const) {
    const measure = `one address more in ${members}, used by 5 rules, ${what}`;
    const peers = [['ovn-nbctl --wait=hv', fresh], ['ovn-nbctl --wait=hv, daemon', daemon]] as const;
    for (const [name, peer] of peers) {
      if (peer !== undefined) rows.push(row({ measure, unit: 'ms', ours: values, peer: { name, values: peer }, goals: wanted }));
    }
    if (fresh === undefined) rows.push(row({ measure: `${measure} (no OVN)`, unit: 'ms', ours: values, goals: wanted }));
  }
  return rows;
}

async function cold(context: BenchContext, policy: GroupsPolicy, notes: string[]): Promise<Row[]> {
  const answer = await measured(context, 'ovs-cold', 'cold', { policy, rounds: context.quick ? 1 : 7 }) as ColdAnswer;
  const { flows, ours, ovn, ovnFlows } = answer;
  const measure = `${policy.rules} rules x ${policy.addressesEach} addresses, ${policy.ports} ports, cold`;
  notes.push(`cold: ${flows} flows of ours${ovnFlows === undefined ? '' : `, ${ovnFlows} of OVN`}; ours in a fresh process each round, connected already; OVN one transaction with --wait=hv`);
  return [
    row({
      measure, unit: 'ms', ours: ours.map(({ total }) => total), ...(ovn === undefined ? {} : { peer: { name: 'ovn-nbctl --wait=hv', values: ovn } }),
      goals: [{ kind: 'at most', value: 0.333, of: 'ratio' }],
    }),
    row({ measure: `${measure}: of that, compilation`, unit: 'ms', ours: ours.map(({ compile }) => compile) }),
  ];
}

async function connections(context: BenchContext, notes: string[]): Promise<Row[]> {
  const [few, many] = context.quick ? [10, 100] : [10, 10_000];
  const groups = context.quick ? 20 : 500;
  const policies: PolicyOptions[] = [
    { rules: few, groups: few, addresses: 600, applications: 200, shape: 'in' },
    { rules: many, groups, addresses: context.quick ? 600 : 6_000, applications: context.quick ? 200 : 2_000, shape: 'in' },
  ];
  const answer = await measured(context, 'ovs-connections', 'new connections', { policies, rounds: context.quick ? 2 : 11, packets: context.quick ? 5_000 : 100_000 }) as ConnectionsAnswer;
  notes.push(`new connections: ${answer.flows.join(' and ')} flows; UDP of 60 bytes, none answered, each packet another connection; at most 160 packets under way, ${answer.lost} lost`);
  notes.push('the switch forgets connections and cached flows before each round; clients and ports of the first two rows come before the clock starts');
  notes.push(`flows cached then, with ${few} and ${many} rules: ${answer.cached.ports.join(' and ')} (one rule), ${answer.cached.spread.join(' and ')} (spread), ${answer.cached.first.join(' and ')} (first packets)`);
  const goals = [{ kind: 'at least', value: 0.9, of: 'ratio' }] as const;
  // First packets of few rules are mostly not first: there are not as many things to tell apart.
  return ([['ports', 'one rule, source ports vary', goals], ['spread', 'spread over all rules', goals], ['first', 'first packets, spread over all rules', []]] as const).flatMap(([pattern, what, wanted]) => {
    const [peer = [], ours = []] = answer.times[pattern].map((values) => values.map((ns) => 1e9 / ns));
    const [peerTime = [], ourTime = []] = answer.processor[pattern];
    const name = `ours, ${few} rules`;
    return [
      row({ measure: `new connections/s, ${many} rules, ${what}`, unit: '/s', ours, peer: { name, values: peer }, goals: wanted }),
      // Says more than the rate where other work wants the processors.
      row({ measure: "of that, the switch's processor time for one", unit: 'ns', ours: ourTime, peer: { name, values: peerTime } }),
    ];
  });
}

async function memory(context: BenchContext, policy: GroupsPolicy, notes: string[]): Promise<Row[]> {
  const answers: MemoryAnswer[] = [];
  for (let round = 0; round < (context.quick ? 1 : 3); round += 1) answers.push(await measured(context, 'ovs-memory', `memory, round ${round + 1}`, { policy, rounds: 1 }) as MemoryAnswer);
  notes.push(`memory: read 3 s after the agent said that all is realized; the switch had ${answers[0]?.flows ?? 0} flows`);
  const what = `${policy.rules * policy.addressesEach} flows`;
  return [
    row({ measure: `agent resident, ${what}`, unit: 'MB', ours: answers.map(({ residentMb }) => residentMb), goals: [{ kind: 'at most', value: 200, of: 'median' }] }),
    row({ measure: 'its peak since the start', unit: 'MB', ours: answers.map(({ peakMb }) => peakMb) }),
    row({ measure: 'start to all in force, files read', unit: 'ms', ours: answers.map(({ readyMs }) => readyMs) }),
  ];
}
