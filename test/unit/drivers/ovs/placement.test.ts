import { describe, expect, it } from 'vitest';
import { baseFlows } from '../../../../src/drivers/ovs/pipeline/base-flows.js';
import type { Flow, Step } from '../../../../src/drivers/ovs/pipeline/flow.js';
import { ALONE, ENTER, LEAVE, placed, TABLES, wireTable, type Placement } from '../../../../src/drivers/ovs/pipeline/placement.js';
import { controllerFlows, filterFlows, knownPortFlows, learningFlows } from '../../../../src/drivers/ovs/pipeline/port-flows.js';

const BESIDE: Placement = { first: 100, next: 7 };
const flow = (...actions: Step[]): Flow => ({ table: 3, priority: 1, cookie: 0n, match: {}, actions });

/** Every table that a flow leads to. */
const targets = (steps: readonly Step[]): number[] => steps.flatMap((step) => [
  ...('table' in step && step.table !== undefined ? [step.table] : []), ...('actions' in step && step.actions !== undefined ? targets(step.actions) : []),
]);
const filter = { number: 1, port: 4, rules: 9, failOpen: false, mirrors: { in: [{ control: 'a', port: 5 }], out: [] }, redirects: { in: [], out: [] }, guard: undefined } as const;

describe('the place of the pipeline', () => {
  it('moves every table that a flow names, also within actions, and no other', () => {
    const inner = flow({ type: 'clone', actions: [{ type: 'resubmit', table: 41 }] }, { type: 'ct', zone: 5, table: 11 }, { type: 'ct', commit: true, zone: 5 }, ...LEAVE, { type: 'goto', table: 4 });
    const { table, actions } = placed(inner, BESIDE);
    expect([table, targets(actions)]).toEqual([103, [141, 111, 7, 104]]);
    expect(placed(inner, ALONE)).toBe(inner);
    expect([wireTable(0, BESIDE), wireTable(TABLES - 1, BESIDE)]).toEqual([100, 99 + TABLES]);
  });

  it('keeps what others have in registers, and gives it back in turn', () => {
    const kept = (type: string): unknown[] => [...ENTER, ...LEAVE].flatMap((action) => (action.type === type && 'part' in action ? [action.part.field] : []));
    expect(kept('stack_push')).toEqual(['xxreg0', 'xxreg1', 'xxreg2', 'xxreg3', 'metadata']);
    expect(kept('stack_pop')).toEqual(kept('stack_push').toReversed());
  });

  it('beside others outputs only copies, learns nothing, and finds filters by MAC address, else by their addresses', () => {
    const image = (mac: string): Flow[] => [...baseFlows(true), ...controllerFlows(), ...knownPortFlows([{ number: 4, floods: true, declared: false }], false), ...filterFlows({ ...filter, mac, addresses: ['10.0.0.1', 'fd00::1'], beside: true })];
    const types = new Set(image('').flatMap(({ actions }) => actions.map(({ type }) => type)));
    expect([types.has('learn'), types.has('output_field')]).toEqual([false, false]);
    const outputs = image('').flatMap(({ actions }) => actions.flatMap((action) => (action.type === 'output' ? [action.port] : [])));
    expect(outputs).toEqual([5]);
    const found = (flows: readonly Flow[]): unknown[] => flows.filter(({ table, priority }) => table === 41 && priority < 200).map(({ match }) => match);
    expect(found(image(''))).toEqual([{ eth_type: 0x0800, ip_dst: 0x0a000001 }, { eth_type: 0x86dd, ipv6_dst: 0xfd000000000000000000000000000001n }]);
    expect(found(image('02:00:00:00:00:01'))).toEqual([{ eth_dst: 0x020000000001n }]);
  });

  it('alone forwards by itself', () => {
    const types = new Set([...baseFlows(false), ...learningFlows([{ number: 4, floods: true, declared: false }])].flatMap(({ actions }) => actions.map(({ type }) => type)));
    expect([types.has('learn'), types.has('output_field'), types.has('stack_push')]).toEqual([true, true, true]);
    expect(filterFlows({ ...filter, mac: '', addresses: ['10.0.0.1'], beside: false }).filter(({ table }) => table === 41)).toEqual([]);
  });
});
