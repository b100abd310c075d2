/** Flows of a rule table: changes laid over what the switch had are the flows of the next table made fresh; and they decide as the table does. */
import { describe, expect, it } from 'vitest';
import { Compiler } from '../../../../src/compile/compiler.js';
import type { CompiledTable, Side } from '../../../../src/compile/compiled.js';
import type { Flow } from '../../../../src/drivers/ovs/pipeline/flow.js';
import { ruleFlowChanges } from '../../../../src/drivers/ovs/pipeline/rule-flows.js';
import { changeSets, generateCase } from '../../../oracle/generate.js';
import { describePacket } from '../../../oracle/packet.js';
import { Random } from '../../../oracle/random.js';
import { anyPackets, decide, everywhere, onlyTable, plan, policyOf, SIDES, worldOf } from '../../compile/cases.js';
import { FlowSwitch } from './flow-switch.js';

const NUMBER = 77;
const SEEDS = Number(process.env['DFW_FLOW_TABLES'] ?? 24);
const FIRST_SEED = Number(process.env['DFW_FLOW_SEED'] ?? 1);

function decidedBy(flows: FlowSwitch, side: Side, packet: Parameters<typeof decide>[2]): number | 'refused' {
  return flows.judge(side, NUMBER, packet);
}

describe('flows of rule tables', () => {
  it('change from any table to any other as if made fresh, and decide as trace does', { timeout: 180_000 }, () => {
    let byHosts = 0;
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed += 1) {
      const random = new Random(seed);
      const compiler = new Compiler(seed % 3 === 0 ? { maxLocals: 0 } : {});
      const flows = new FlowSwitch();
      let policy = { ...policyOf(seed).policy, sharedSets: generateCase(seed, plan, { packets: 0 }).sharedSets };
      let before: CompiledTable | undefined;
      for (let step = 0; step < 4; step += 1) {
        if (step > 0) {
          if (random.chance(0.5)) policy = { ...policy, tables: changeSets(random, plan, policy.tables) };
          else policy = policyOf(seed * 100 + step).policy;
        }
        const after = onlyTable(compiler.compile(worldOf(everywhere({ ...policy, tables: policy.tables.slice(0, 1).map((table) => ({ ...table, name: 'table' })) }))));
        if (after.delta !== undefined) byHosts += 1;
        flows.change((sink) => ruleFlowChanges(NUMBER, before, after, sink));
        const fresh = new FlowSwitch();
        fresh.change((sink) => ruleFlowChanges(NUMBER, undefined, after, sink));
        expect(flows.differences(fresh), `seed ${seed}, step ${step}`).toEqual([]);
        for (const packet of anyPackets(random, policy, 30)) {
          // A switch cannot match the type of the other family's ICMP; no stack takes such packets.
          if (packet.protocol === (packet.family === 4 ? 58 : 1)) continue;
          for (const side of SIDES) {
            const label = decide(after, side, packet);
            expect(decidedBy(flows, side, packet), `seed ${seed}, step ${step}, ${side}: ${describePacket(packet)}`).toBe(label === 'guarded' ? 'refused' : label.id);
          }
        }
        before = after;
      }
      flows.change((sink) => ruleFlowChanges(NUMBER, before, undefined, sink));
      expect(flows.size, `seed ${seed}: all removed`).toBe(0);
    }
    // The short cut for changes of hosts was taken, too.
    expect(byHosts).toBeGreaterThan(SEEDS / 12);
  });

  it('have one flow for an address, whatever the number of rules', () => {
    const flows: Flow[] = [];
    const [first] = policyOf(1).policy.tables;
    if (first === undefined) throw new Error('nothing generated');
    const rule = (id: number) => ({
      ...first.rules[0], id, direction: 'in' as const, protocol: 6, ports: [{ first: id, last: id }], sourcePorts: [], action: 'accept' as const, log: false, stateless: false,
      source: { not: false, addressSets: ['s'], addresses: [] }, destination: { not: false, addressSets: [], addresses: [] },
    });
    const table = { name: 'table', addressSets: [{ name: 's', addresses: Array.from({ length: 200 }, (_, index) => `192.0.2.${index}`) }], rules: Array.from({ length: 50 }, (_, index) => rule(1000 + index)), layer2Rules: [] };
    const compiled = onlyTable(new Compiler().compile(worldOf({ tables: [table], sharedSets: [], failurePolicy: 'closed' } as never)));
    ruleFlowChanges(NUMBER, undefined, compiled, { add: (flow) => flows.push(flow), remove: () => undefined });
    // 200 addresses, 50 ports, and what a table has anyhow.
    expect(flows.length).toBeLessThan(200 + 50 + 20);
  });
});
