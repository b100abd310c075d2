/** The agent's resident memory once everything it was given is in force. */
import { join } from 'node:path';
import { AgentProcess, pause } from '../lib/agent-process.js';
import { addressSet, ruleTables, workload } from '../model/desired.js';
import { manifest } from '../model/manifests.js';
import { addressText, makePolicy } from '../model/policy.js';

interface MemoryRequest {
  readonly filters: number;
  /** Distinct rule tables; each applies to its share of the filters and has its share of rules and addresses. */
  readonly tables: number;
  readonly rules: number;
  readonly addresses: number;
  readonly groups: number;
  readonly directory: string;
}

const request: MemoryRequest = JSON.parse(process.argv[2] ?? '{}');
const part = { rules: request.rules / request.tables, addresses: request.addresses / request.tables, groups: request.groups / request.tables };
const objects: unknown[] = [];
for (let table = 0; table < request.tables; table += 1) {
  const policy = makePolicy({ ...part, applications: Math.max(1, Math.round(part.groups * 4)), shape: 'peers' }, table + 1, table * 0x1_0000);
  const local = (name: string): string => `table-${table}-${name}`;
  const names = (sets: readonly string[]): string[] => sets.map(local);
  const rules = policy.rules.map((rule) => ({
    ...rule, source: { ...rule.source, addressSets: names(rule.source.addressSets) }, destination: { ...rule.destination, addressSets: names(rule.destination.addressSets) },
  }));
  objects.push(...policy.sets.map((set) => manifest(addressSet(local(set.name), set.addresses))));
  const workloads: { kind: 'VirtualMachine'; name: string }[] = [];
  for (let filter = table; filter < request.filters; filter += request.tables) {
    workloads.push({ kind: 'VirtualMachine', name: `vm-${filter}` });
    objects.push(...workload(`vm-${filter}`, `vnic${filter}`, [addressText(0xc612_0000 + filter)]).map(manifest));
  }
  objects.push(...ruleTables(rules, `policy-${table}`).map((one) => manifest({ ...one, appliedTo: { workloads } })));
}
const agent = new AgentProcess(join(request.directory, `memory-${request.tables}`));
const started = process.hrtime.bigint();
await agent.start(objects, 120_000);
const readyMs = Number(process.hrtime.bigint() - started) / 1e6;
await pause(3000);
const { residentMb, peakMb } = await agent.memory();
const status = await agent.agentctl('status', '-o', 'json');
await agent.stop();
console.log(JSON.stringify({ residentMb, peakMb, readyMs, status: JSON.parse(status.stdout) }));
