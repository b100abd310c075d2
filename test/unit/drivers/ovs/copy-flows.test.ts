/** Copies as flows, carried out by a model of table COPY; and the meters of limits. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CopyMeters, copyMeters, type MeterSession } from '../../../../src/drivers/ovs/copy-meters.js';
import { copyFlows, copySteps, diversionObject, type CopyStage, type PortCopy } from '../../../../src/drivers/ovs/pipeline/copy-flows.js';
import type { Flow, Step } from '../../../../src/drivers/ovs/pipeline/flow.js';
import { filterFlows, type PortFilter } from '../../../../src/drivers/ovs/pipeline/port-flows.js';
import { TABLE } from '../../../../src/drivers/ovs/pipeline/stages.js';
import type { Meter } from '../../../../src/drivers/ovs/openflow/meters.js';

const OWN = 1;
const copy = (control: string, port: number, change: Partial<PortCopy> = {}): PortCopy => ({ control, port, ...change });
const limited = (...meters: readonly number[]): Partial<PortCopy> => ({ rateLimit: { packetsPerSecond: 1 }, meters });

/** TCP or UDP over IPv4 from one port to another. */
interface Packet { readonly protocol: 6 | 17; readonly from: number; readonly to: number; readonly hash: number; readonly fragment?: boolean; readonly arp?: boolean }
interface Copied { readonly port: number; readonly meters: readonly number[]; readonly control: bigint }

/** What the steps of a stage do to a packet. `cookies` of the flows that output. */
function run(requests: readonly PortCopy[], stage: CopyStage, packet: Packet): Copied[] {
  const flows = copyFlows(requests, OWN);
  const copied: Copied[] = [];
  const fields = new Map<string, number>(packet.arp === true ? [['eth_type', 0x0806]] : [
    ['eth_type', 0x0800], ['ip_proto', packet.protocol], ['ip_frag', packet.fragment === true ? 1 : 0], [packet.protocol === 6 ? 'tcp_src' : 'udp_src', packet.from], [packet.protocol === 6 ? 'tcp_dst' : 'udp_dst', packet.to],
  ]);
  let depth = 0;
  const matches = ({ match }: Flow): boolean => Object.entries(match).every(([name, wanted]) => {
    const value = fields.get(name) ?? (name.startsWith('reg') ? 0 : undefined);
    if (value === undefined) return false;
    if (typeof wanted !== 'object') return value === Number(wanted);
    if ('bits' in wanted) return value >>> (16 - wanted.bits) === Number(wanted.address) >>> (16 - wanted.bits);
    return (value & Number(wanted.mask)) === Number(wanted.value);
  });
  const act = (steps: readonly Step[], meters: readonly number[], cookie: bigint): void => {
    let passed = meters;
    for (const step of steps) {
      if (step.type === 'set_field') fields.set(step.field, Number(step.value));
      else if (step.type === 'clone') {
        const kept = new Map(fields);
        act(step.actions, passed, cookie);
        fields.clear();
        for (const [name, value] of kept) fields.set(name, value);
      } else if (step.type === 'meter') passed = [...passed, step.meter];
      else if (step.type === 'multipath') fields.set(step.target.field, packet.hash % step.modulus);
      else if (step.type === 'output') copied.push({ port: step.port, meters: passed, control: cookie & 0xffff_ffffn });
      else if (step.type === 'resubmit') {
        if ((depth += 1) > 60) throw new Error('the switch would give up');
        const best = flows.filter((flow) => matches(flow)).sort((a, b) => b.priority - a.priority);
        if (new Set(best.filter(({ priority }) => priority === best[0]?.priority).map(({ actions }) => JSON.stringify(actions))).size > 1) throw new Error('either could match');
        if (best[0] !== undefined) act(best[0].actions, passed, best[0].cookie);
      } else throw new Error(`no copy does ${step.type}`);
    }
  };
  act(copySteps(requests, OWN, stage), [], 0n);
  return copied;
}

const request = fc.record({
  control: fc.constantFrom('a', 'b', 'c', 'd'), port: fc.constantFrom(OWN, 5, 6),
  match: fc.option(fc.constantFrom([{ protocol: 6, ports: [] }], [{ protocol: 17, ports: [{ first: 50, last: 60 }] }, { protocol: 6, ports: [{ first: 80, last: 80 }] }]), { nil: undefined }),
  sampling: fc.option(fc.constantFrom(2, 3, 1000), { nil: undefined }), limit: fc.boolean(), behindRules: fc.boolean(),
}).map(({ match, sampling, limit, behindRules, ...rest }): PortCopy => ({
  ...rest, ...(match === undefined ? {} : { match }), ...(sampling === undefined ? {} : { sampling }), ...(limit ? limited(0xff10 + rest.control.charCodeAt(0)) : {}), ...(behindRules ? { behindRules } : {}),
}));
const packet: fc.Arbitrary<Packet> = fc.record({ protocol: fc.constantFrom(6 as const, 17 as const), from: fc.integer({ min: 40, max: 90 }), to: fc.integer({ min: 40, max: 90 }), hash: fc.nat(), fragment: fc.boolean(), arp: fc.boolean() });

/** Said the slow way: does a request want the packet? */
function wants({ match, sampling }: PortCopy, { protocol, from, to, hash, fragment = false, arp = false }: Packet): boolean {
  const inPorts = match === undefined || (!arp && match.some((entry) => entry.protocol === protocol && (entry.ports.length === 0 || entry.ports.some(({ first, last }) => [from, to].some((port) => port >= first && port <= last)))));
  return inPorts && (sampling === undefined || (!arp && (fragment || hash % sampling === 0)));
}

describe('copies as flows', () => {
  it('each device gets a packet once at most: by the first request that wants it, those without a limit first, those that see what rules refuse before those that do not', () => {
    fc.assert(fc.property(fc.array(request, { maxLength: 6 }), packet, (requests, sent) => {
      const order = (behind: boolean): PortCopy[] => [false, true].flatMap((limit) => requests.filter(({ behindRules, rateLimit }) => (behindRules === true) === behind && (rateLimit !== undefined) === limit));
      const expected = (stage: CopyStage): string[] => [5, 6].flatMap((port) => {
        const first = [...order(false), ...order(true)].find((entry) => entry.port === port && wants(entry, sent));
        if (first === undefined || (first.behindRules === true) !== (stage === 'behind')) return [];
        return [`${port} ${diversionObject(first.control)} ${first.meters?.join() ?? ''}`];
      });
      for (const stage of ['before', 'behind'] as const) {
        expect(run(requests, stage, sent).map(({ port, control, meters }) => `${port} ${control} ${meters.join()}`).sort()).toEqual(expected(stage).sort());
      }
    }), { numRuns: 1_500 });
  });

  it('a meter is in a clone with nothing but the copy: what it drops is the copy', () => {
    const flows = copyFlows([copy('a', 5, { ...limited(65_300, 65_301), sampling: 3 })], OWN);
    const outputs = flows.filter(({ actions }) => JSON.stringify(actions).includes('"output"'));
    expect(outputs.length).toBeGreaterThan(0);
    for (const { actions } of outputs) expect(actions).toEqual([{ type: 'clone', actions: [{ type: 'meter', meter: 65_300 }, { type: 'meter', meter: 65_301 }, { type: 'output', port: 5 }] }]);
  });

  it('filters that copy alike share their flows', () => {
    const requests = [copy('a', 5, { sampling: 7 }), copy('b', 6)];
    expect(copyFlows(requests, 2)).toEqual(copyFlows(requests, 3));
    expect(copySteps(requests, 5, 'before')).toHaveLength(2);
  });
});

describe('copies in the pipeline', () => {
  const filter = (change: Partial<PortFilter>): Flow[] => filterFlows({
    number: 1, port: 4, mac: '', addresses: [], rules: 9, failOpen: false, guard: undefined, beside: false, mirrors: { in: [], out: [] }, redirects: { in: [], out: [] }, ...change,
  });
  const at = (flows: readonly Flow[], table: number): number => flows.filter((flow) => flow.table === table && JSON.stringify(flow.actions).includes(`"table":${TABLE.COPY}`)).length;

  it('before the rules: of what is sent where it comes in, of what is for the workload where that is known', () => {
    const flows = filter({ mirrors: { in: [copy('a', 5)], out: [copy('a', 5)] } });
    expect([TABLE.CLASSIFY, TABLE.PORT, TABLE.OUTPUT].map((table) => at(flows, table))).toEqual([1, 1, 0]);
  });

  it('behind the rules: both where they have let the packet pass', () => {
    const left = copy('a', 5, { behindRules: true });
    const flows = filter({ mirrors: { in: [left], out: [left] } });
    expect([TABLE.CLASSIFY, TABLE.PORT, TABLE.OUTPUT].map((table) => at(flows, table))).toEqual([0, 0, 2]);
  });

  it('without copies a port has no flows for them', () => {
    expect(filter({}).filter(({ table }) => table === TABLE.COPY || table === TABLE.OUTPUT)).toEqual([]);
    expect(filter({}).filter(({ table }) => table === TABLE.PORT)).toHaveLength(1);
  });
});

describe('meters of limits', () => {
  const frames = (limits: Readonly<Record<string, PortCopy['rateLimit']>>) => [{
    mirrors: { in: Object.entries(limits).map(([control, rateLimit]) => ({ control, port: 'tap', ...(rateLimit === undefined ? {} : { rateLimit }) })), out: [] },
  }];

  it('are two numbers for each control, which others do not change but by chance; bytes in kilobits, rounded up', () => {
    const both = copyMeters(frames({ a: { packetsPerSecond: 5, bytesPerSecond: 1_001, burst: 9 }, b: { packetsPerSecond: 7 }, c: undefined }));
    const [packets, bytes] = both.get('a') ?? [];
    expect(packets).toMatchObject({ unit: 'packets', bands: [{ rate: 5, burst: 9 }] });
    expect(bytes).toMatchObject({ id: (packets?.id ?? 0) + 1, unit: 'kilobits', bands: [{ rate: 9, burst: 9 }] });
    expect([both.get('b')?.[0]?.bands, both.has('c')]).toEqual([[{ rate: 7, burst: 7 }], false]);
  });

  it('never meet, nor those of ports, reports and DNS replies', () => {
    const many = copyMeters(frames(Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`control-${n}`, { packetsPerSecond: 1, bytesPerSecond: 1_000 }]))));
    const ids = [...many.values()].flatMap((meters) => meters.map(({ id }) => id));
    expect(new Set(ids).size).toBe(200);
    expect(Math.min(...ids)).toBeGreaterThan(0xff01);
    expect(Math.max(...ids)).toBeLessThanOrEqual(0xffff);
  });

  it('are made, changed and removed as they are wanted, and left alone when they are right', async () => {
    const sent: string[] = [];
    const session: MeterSession = {
      version: 6, read: async () => undefined,
      send: async (...messages) => {
        for (const message of messages) {
          const view = new DataView(message.buffer, message.byteOffset);
          sent.push(`${['add', 'modify', 'delete'][view.getUint16(8)]} ${view.getUint32(12) - 0xff10}`);
        }
      },
    };
    const meter = (id: number, rate: number): Meter => ({ id: 0xff10 + id, unit: 'packets', burst: true, stats: true, bands: [{ rate, burst: rate }] });
    const meters = new CopyMeters();
    for (const wanted of [[meter(0, 5), meter(2, 6)], [meter(0, 5), meter(2, 7)], [meter(0, 5)], []]) {
      await meters.prepare(session, wanted);
      await meters.finish(session, wanted);
    }
    expect(sent).toEqual(['add 0', 'add 2', 'modify 2', 'delete 2', 'delete 0']);
  });
});
