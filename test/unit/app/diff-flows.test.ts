import { describe, expect, it } from 'vitest';
import { flowsCut, type FilterChange } from '../../../src/app/diff-flows.js';
import { Compiler } from '../../../src/compile/compiler.js';
import type { CompiledTable } from '../../../src/compile/compiled.js';
import { buildWorld } from '../../../src/compile/world.js';
import type { DesiredObject } from '../../../src/model/objects.js';
import type { Rule } from '../../../src/model/rule.js';
import type { FlowView } from '../../../src/model/views.js';
import type { FlowQuery, FlowRecord } from '../../../src/native/binding.js';

const LOCAL = '10.0.0.1';
const ANY = { not: false, addressSets: [], addresses: [] };
const rule = (id: number, port: number, action: Rule['action'] = 'accept'): Rule => ({ id, direction: 'inout', protocol: 6, source: ANY, sourcePorts: [], destination: ANY, ports: [{ first: port, last: port }], action, log: false, stateless: false });
const last: Rule = { ...rule(999, 0, 'drop'), protocol: 'any', ports: [] };

function compiled(rules: readonly Rule[]): { filter: FilterChange['filter']; table: CompiledTable } {
  const objects: DesiredObject[] = [
    { kind: 'Attachment', metadata: { name: 'a', labels: {} }, workload: { kind: 'VirtualMachine', name: 'vm' }, vnic: 'eth0', interface: 'v0', addresses: [LOCAL] },
    { kind: 'RuleTable', metadata: { name: 't', labels: {} }, addressSets: [], rules, layer2Rules: [] },
  ];
  const world = buildWorld(new Map(objects.map((object) => [object.kind, object])), { number: () => 1 });
  const [table] = new Compiler().compile(world).tables.values();
  const [filter] = world.filters;
  if (table === undefined || filter === undefined) throw new Error('nothing compiled');
  return { filter, table };
}

/** Connections to the filter under each accepting rule, as the kernel's index would answer for them. */
class Connections {
  readonly records: FlowRecord[] = [];
  largest = 0;
  constructor(private readonly table: CompiledTable) {}

  add(ruleId: number, port: number, count = 1, fields: Partial<FlowRecord> = {}): void {
    const label = [...this.table.labels.values()].find((entry) => entry.ruleId === ruleId && entry.side === 'in');
    for (let i = 0; i < count; i += 1) {
      this.records.push({
        id: this.records.length, family: 4, protocol: 6, source: '192.0.2.1', sourcePort: 1024 + i, destination: LOCAL, destinationPort: port, originalDestination: LOCAL, originalDestinationPort: port,
        ruleIdOut: 0, ruleIdIn: label?.id ?? 0, tcpState: 3, status: 0, timeoutSeconds: 1, startMs: 0, packets: { original: 1, reply: 1 }, bytes: { original: 1, reply: 1 }, ...fields,
      });
    }
  }

  query = async ({ addresses = [], ruleIds = new Uint32Array(), limit = 0 }: FlowQuery): Promise<FlowRecord[]> => {
    const found = this.records.filter((record) => addresses.includes(record.destination) && ruleIds.includes(record.ruleIdIn)).slice(0, limit);
    this.largest = Math.max(this.largest, found.length);
    return found;
  };
}

const view = (record: FlowRecord): FlowView[] => [{
  id: String(record.id), state: 'Active', protocol: 'tcp', ethertype: '0800', direction: 'in', ruleId: 0, source: { address: record.source, port: record.sourcePort },
  destination: { address: record.destination, port: record.destinationPort }, ageSeconds: 0, timeoutSeconds: 0, tcpState: '', bytes: record.bytes, packets: record.packets,
}];

async function cut(before: readonly Rule[], after: readonly Rule[] | 'open' | 'closed', fill: (connections: Connections) => void): Promise<{ ports: number[]; complete: boolean; connections: Connections }> {
  const { filter, table } = compiled(before);
  const connections = new Connections(table);
  fill(connections);
  const { flows, complete } = await flowsCut([{ filter, before: table, after: typeof after === 'string' ? after : compiled(after).table }], { query: connections.query, view, labels: table.labels });
  return { ports: flows.map(({ destination }) => destination.port), complete, connections };
}
const both = (connections: Connections): void => {
  connections.add(1, 80);
  connections.add(2, 81);
};

describe('connections that would be cut', () => {
  it('are those whose new verdict is no accept, whoever gives it', async () => {
    expect(await cut([rule(1, 80), rule(2, 81), last], [rule(2, 81), last], both)).toMatchObject({ ports: [80], complete: true });
    expect(await cut([rule(1, 80), rule(2, 81), last], [rule(9, 80), last, rule(2, 81)], both)).toMatchObject({ ports: [81], complete: true });
    expect(await cut([rule(1, 80), rule(2, 81), last], [], both)).toMatchObject({ ports: [] });
    expect(await cut([rule(1, 80), rule(2, 81), last], [rule(3, 80, 'reject'), rule(1, 80), rule(2, 81)], both)).toMatchObject({ ports: [80] });
  });

  it('are all where no table would be in force, or none, by failure policy', async () => {
    expect(new Set((await cut([rule(1, 80), rule(2, 81), last], 'closed', both)).ports)).toEqual(new Set([80, 81]));
    expect((await cut([rule(1, 80), rule(2, 81), last], 'open', both)).ports).toEqual([]);
  });

  it('are none that are over already', async () => {
    expect((await cut([rule(1, 80), last], [last], (connections) => {
      connections.add(1, 80, 1, { tcpState: 7 });
      connections.add(1, 80, 1, { status: 1 << 9 });
    })).ports).toEqual([]);
  });

  it('are looked for rule by rule where they are many, and not beyond what can be listed', async () => {
    const many = await cut([rule(1, 80), rule(2, 81), rule(3, 82), last], [rule(9, 80), rule(3, 82), last], (connections) => {
      connections.add(1, 80, 1_500);
      connections.add(2, 81, 700);
      connections.add(3, 82, 5_000);
    });
    expect(many).toMatchObject({ complete: true });
    expect([new Set(many.ports), many.ports.length]).toEqual([new Set([81]), 700]);
    const most = await cut([rule(1, 80), last], [last], (connections) => connections.add(1, 80, 2_500));
    expect(most).toMatchObject({ complete: false });
    expect(most.ports).toHaveLength(1_000);
    expect(most.connections.largest).toBe(2_000);
  });
});
