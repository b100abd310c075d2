/** A bundle's messages are what the encoder makes of each flow, byte by byte, whatever way the flows came in. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Compiler } from '../../../../src/compile/compiler.js';
import { key6, type Key6 } from '../../../../src/compile/key6.js';
import { ALONE } from '../../../../src/drivers/ovs/pipeline/placement.js';
import { FlowBundle } from '../../../../src/drivers/ovs/flow-bundle.js';
import { FlowTemplate } from '../../../../src/drivers/ovs/flow-template.js';
import { OF14, OF15, type OpenFlowVersion } from '../../../../src/drivers/ovs/openflow/constants.js';
import { encodeFlowMod } from '../../../../src/drivers/ovs/openflow/flow-mod.js';
import { encodeInstructions } from '../../../../src/drivers/ovs/openflow/instructions.js';
import { encodeMatch } from '../../../../src/drivers/ovs/openflow/match.js';
import { goTo, instructions, matchFields, register, set, type Flow } from '../../../../src/drivers/ovs/pipeline/flow.js';
import type { HostPattern } from '../../../../src/drivers/ovs/pipeline/host-flows.js';
import { ruleFlowChanges } from '../../../../src/drivers/ovs/pipeline/rule-flows.js';
import { everywhere, onlyTable, policyOf, worldOf } from '../../compile/cases.js';

type Change = { readonly op: 'add' | 'remove'; readonly flow: Flow };

/** The plain way: an object for each flow, encoded for itself; removals first. */
function plainly(changes: readonly Change[], version: OpenFlowVersion): string[] {
  const encode = ({ op, flow: { table, priority, cookie, match, actions } }: Change): string => {
    const bytes = encodeMatch(matchFields(match), version);
    return encodeFlowMod(
      op === 'remove' ? { command: 'delete_strict', table, priority, match: bytes }
        : { command: 'add', table, priority, cookie, match: bytes, instructions: encodeInstructions(instructions(actions), version) }, version,
    ).toString('hex');
  };
  return [...changes.filter(({ op }) => op === 'remove'), ...changes.filter(({ op }) => op === 'add')].map(encode);
}

function messagesOf(bundle: FlowBundle): string[] {
  const found: string[] = [];
  for (const message of bundle.messages()) found.push(Buffer.from(message).toString('hex'));
  return found;
}

const pattern = (family: 4 | 6, isSource: boolean, valued: boolean, rules: number): HostPattern => ({
  family, valued,
  flow: (address, value) => ({
    table: 28, priority: 200, cookie: 0xdf77_0400_0000_0000n | BigInt(rules),
    match: {
      [register(isSource ? 4 : 2)]: rules, eth_type: family === 4 ? 0x0800 : 0x86dd,
      [family === 4 ? (isSource ? 'ip_src' : 'ip_dst') : isSource ? 'ipv6_src' : 'ipv6_dst']: { address, bits: family === 4 ? 32 : 128 },
    },
    actions: valued ? [set(7, value), goTo(29)] : [],
  }),
});

const word = fc.oneof(fc.constantFrom(0, 1, 0x8000_0000, 0xffff_ffff), fc.integer({ min: 0, max: 0xffff_ffff }));
const half = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });
const host = fc.record({
  family: fc.constantFrom(4 as const, 6 as const), isSource: fc.boolean(), valued: fc.boolean(), v4: word, v6: fc.tuple(half, half), value: word, op: fc.constantFrom('add' as const, 'remove' as const),
  /** Comes as a flow of its own, between runs of hosts. */
  whole: fc.boolean(),
});

describe('a bundle of flows', () => {
  it('has the bytes that each flow has by itself', () => {
    fc.assert(fc.property(fc.array(host, { maxLength: 40 }), word, fc.constantFrom(OF14, OF15), (hosts, rules, version) => {
      const bundle = new FlowBundle(version, ALONE);
      const patterns = new Map<string, HostPattern>();
      const changes = hosts.map(({ family, isSource, valued, v4, v6, value, op, whole }): Change => {
        const key = `${family} ${isSource} ${valued}`;
        const one = patterns.get(key) ?? pattern(family, isSource, valued, rules);
        patterns.set(key, one);
        const address: number | Key6 = family === 4 ? v4 : key6(...v6);
        const flow = one.flow(address, value);
        if (whole) bundle[op](flow);
        else if (op === 'add') bundle.addHost(one, address, value);
        else bundle.removeHost(one, address);
        return { op, flow };
      });
      expect(bundle.size).toBe(changes.length);
      expect(messagesOf(bundle)).toEqual(plainly(changes, version));
      expect(messagesOf(bundle), 'asked twice').toEqual(plainly(changes, version));
    }), { numRuns: 300 });
  });

  it('has the flows of rule tables, and of changes from one to another', { timeout: 60_000 }, () => {
    let hosts = 0;
    for (let seed = 1; seed <= 4; seed += 1) {
      const tables = [seed, seed + 1000].map((each) => onlyTable(new Compiler(seed % 3 === 0 ? { maxLocals: 0 } : {}).compile(worldOf(everywhere(policyOf(each).policy)))));
      const [before, after] = tables;
      const version = seed % 2 === 0 ? OF14 : OF15;
      for (const [from, to] of [[undefined, before], [before, after], [after, undefined]] as const) {
        const bundle = new FlowBundle(version, ALONE);
        const changes: Change[] = [];
        ruleFlowChanges(seed, from, to, bundle);
        ruleFlowChanges(seed, from, to, { add: (flow) => changes.push({ op: 'add', flow }), remove: (flow) => changes.push({ op: 'remove', flow }) });
        expect(messagesOf(bundle), `seed ${seed}`).toEqual(plainly(changes, version));
        hosts += changes.filter(({ flow: { priority } }) => priority === 200).length;
      }
    }
    expect(hosts).toBeGreaterThan(100);
  });

  it('refuses a pattern whose flows differ in more than it says', () => {
    const good = pattern(4, true, true, 1);
    const priorities: HostPattern = { ...good, flow: (address, value) => ({ ...good.flow(address, value), priority: 1 + (Number(address) & 1) }) };
    const unvalued: HostPattern = { ...good, flow: (address) => good.flow(address, 5) };
    const encode = (flow: Flow): Uint8Array => Buffer.from(plainly([{ op: 'add', flow }], OF15)[0] ?? '', 'hex');
    expect(() => new FlowTemplate(priorities, encode, true)).toThrow(TypeError);
    expect(() => new FlowTemplate(unvalued, encode, true)).toThrow(TypeError);
    expect(() => new FlowTemplate(unvalued, encode, false)).not.toThrow();
  });
});
