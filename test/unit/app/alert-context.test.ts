import { describe, expect, test } from 'vitest';
import { TrackedAlerts } from '../../../src/app/alert-context.js';
import type { LabelInfo } from '../../../src/compile/compiled.js';
import type { ConnectionTuple } from '../../../src/drivers/ids/eve-alert.js';
import type { Filter } from '../../../src/model/filter.js';
import type { NamespaceObject } from '../../../src/model/objects.js';
import type { FlowQuery, FlowRecord } from '../../../src/native/binding.js';
import { systemClock } from '../../../src/platform/clock.js';

function filter(number: number, name: string, address: string, labels: Record<string, string> = {}): Filter {
  return {
    number, name: `nic-${number}-eth0-dfw.2`, hash: number, attachment: name, workload: { kind: 'Pod', namespace: 'shop', name }, labels, vnic: 'eth0', interface: `veth${number}`, mac: '',
    addresses: [address], uuid: '', tables: [],
  };
}
const WEB = filter(1, 'web', '10.0.0.1', { app: 'web' });
const DB = filter(2, 'db', '10.0.0.2');
const label = (id: number, side: 'in' | 'out', ruleId: number): LabelInfo => ({ id, key: '', table: 'all', ruleId, side, action: 'accept', log: false, stateless: false });
const LABELS = new Map([[5, label(5, 'in', 1006)], [6, label(6, 'out', 1007)]]);

function record(change: Partial<FlowRecord> = {}): FlowRecord {
  return {
    id: 0xab, family: 4, protocol: 6, source: '192.0.2.9', sourcePort: 4000, destination: '10.0.0.1', destinationPort: 80, originalDestination: '10.0.0.1', originalDestinationPort: 80,
    ruleIdOut: 0, ruleIdIn: 5, tcpState: 3, status: 0, timeoutSeconds: 1, startMs: 0, packets: { original: 1, reply: 1 }, bytes: { original: 1, reply: 1 }, ...change,
  };
}
const tuple = (source: string, sourcePort: number, destination: string, destinationPort: number, protocol = 'tcp'): ConnectionTuple => ({
  protocol, source: { address: source, port: sourcePort }, destination: { address: destination, port: destinationPort },
});
const IN = tuple('192.0.2.9', 4000, '10.0.0.1', 80);

function build(records: readonly FlowRecord[] | ((attempt: number) => readonly FlowRecord[]), inspected: readonly Filter[] = [], refused: (tuple: ConnectionTuple) => boolean = () => false) {
  const asked: FlowQuery[] = [];
  const namespaces = new Map<string, NamespaceObject>([['shop', { kind: 'Namespace', metadata: { name: 'shop', labels: { team: 'a' } } }]]);
  const contexts = new TrackedAlerts({
    world: () => ({ filters: [WEB, DB], namespaces }), labels: () => LABELS, inspected: () => new Set(inspected),
    policyOf: (table, ruleId) => (table === 'all' && ruleId === 1006 ? { kind: 'NetworkPolicy', namespace: 'shop', name: 'web' } : undefined),
    flows: {
      query: (query) => {
        asked.push(query);
        const all = typeof records === 'function' ? records(asked.length) : records;
        return Promise.resolve(all.filter(({ source, destination }) => query.addresses?.some((address) => address === source || address === destination) === true));
      },
    },
    refusals: { of: (asked) => (refused(asked) ? { filter: WEB.name, ruleset: 'all', ruleId: 1006 } : undefined) },
    clock: { ...systemClock, after: (_ms, action) => systemClock.after(0, action) },
  });
  return { contexts, asked };
}

describe('owner', () => {
  test('the workload that was connected to, else the one that connected; the other end where it is local', () => {
    const { contexts } = build([]);
    expect(contexts.owner(IN)).toEqual({ workload: WEB.workload, filter: WEB.name, direction: 'in', labels: { app: 'web' }, namespaceLabels: { team: 'a' } });
    expect(contexts.owner(tuple('10.0.0.2', 1, '10.0.0.1', 80))).toMatchObject({ filter: WEB.name, direction: 'in', peer: { workload: DB.workload, filter: DB.name } });
    expect(contexts.owner(tuple('10.0.0.2', 1, '192.0.2.9', 80))).toEqual({ workload: DB.workload, filter: DB.name, direction: 'out', namespaceLabels: { team: 'a' } });
    expect(contexts.owner(tuple('192.0.2.8', 1, '192.0.2.9', 80))).toBeUndefined();
    expect(contexts.owner(tuple('10.0.0.1', 1, '10.0.0.1', 80))).not.toHaveProperty('peer');
  });

  test('of two local ones that which is inspected', () => {
    const both = tuple('10.0.0.2', 1, '10.0.0.1', 80);
    expect(build([], [DB]).contexts.owner(both)).toMatchObject({ filter: DB.name, direction: 'out', peer: { filter: WEB.name } });
    expect(build([], [WEB]).contexts.owner(both)).toMatchObject({ filter: WEB.name, direction: 'in', peer: { filter: DB.name } });
    expect(build([], [WEB, DB]).contexts.owner(both)).toMatchObject({ filter: WEB.name, direction: 'in' });
  });
});

describe('connections', () => {
  test('rule, table, policy, flow and state of the side where the filter stands', async () => {
    const { contexts } = build([record(), record({ id: 1, source: '10.0.0.2', sourcePort: 9, destination: '192.0.2.7', destinationPort: 443, ruleIdIn: 0, ruleIdOut: 6 })]);
    expect(await contexts.connections([IN, tuple('10.0.0.2', 9, '192.0.2.7', 443)], false)).toEqual([
      {
        flowId: '000000ab00000000', ruleId: 1006, ruleset: 'all', policy: { kind: 'NetworkPolicy', namespace: 'shop', name: 'web' },
        connection: { source: { address: '192.0.2.9', port: 4000 }, destination: { address: '10.0.0.1', port: 80 }, state: 'EST' },
      },
      { flowId: '0000000100000000', ruleId: 1007, ruleset: 'all', connection: { source: { address: '10.0.0.2', port: 9 }, destination: { address: '192.0.2.7', port: 443 }, state: 'EST' } },
    ]);
  });

  test('the engine may have its ends swapped; ICMP has no ports; another connection is not it', async () => {
    const icmp = record({ id: 2, protocol: 1, sourcePort: 0, destinationPort: 2048, tcpState: 0 });
    const { contexts } = build([record(), icmp]);
    const found = await contexts.connections([tuple('10.0.0.1', 80, '192.0.2.9', 4000), tuple('192.0.2.9', 0, '10.0.0.1', 0, 'icmp'), tuple('192.0.2.9', 4001, '10.0.0.1', 80)], false);
    expect(found.map((each) => each?.flowId)).toEqual(['000000ab00000000', '0000000200000000', undefined]);
    expect(found[0]?.connection?.source.port).toBe(4000);
  });

  test('alerts of one address cost one question; those of nobody none', async () => {
    const { contexts, asked } = build([record()]);
    await contexts.connections([...Array.from({ length: 50 }, (_, n) => tuple('192.0.2.9', n, '10.0.0.1', 80)), tuple('192.0.2.8', 1, '192.0.2.9', 1)], false);
    expect(asked).toEqual([{ addresses: ['10.0.0.1'] }]);
  });

  test('patience: asked again until the connection is known, for a bounded time', async () => {
    const late = build((attempt) => (attempt < 4 ? [] : [record()]));
    expect((await late.contexts.connections([IN], true))[0]?.ruleId).toBe(1006);
    expect(late.asked).toHaveLength(4);
    const never = build([]);
    expect(await never.contexts.connections([IN], true)).toEqual([undefined]);
    expect(never.asked.length).toBeLessThan(10);
    const impatient = build([]);
    await impatient.contexts.connections([IN], false);
    expect(impatient.asked).toHaveLength(1);
  });

  test('a host with too many connections to look through answers without them', async () => {
    const tooMany = Object.assign(new Error('E2BIG'), { code: 'E2BIG' });
    const contexts = new TrackedAlerts({
      world: () => ({ filters: [WEB], namespaces: new Map() }), labels: () => LABELS, inspected: () => new Set(), policyOf: () => undefined, flows: { query: () => Promise.reject(tooMany) }, clock: systemClock,
      // Nobody knows whether there is a connection: nothing is said.
      refusals: { of: () => ({ filter: WEB.name, ruleset: 'all', ruleId: 9 }) },
    });
    expect(await contexts.connections([IN], false)).toEqual([undefined]);
  });
});

describe('what rules refuse', () => {
  const REFUSED = { refused: true, refusedBy: WEB.name, ruleset: 'all', ruleId: 1006, policy: { kind: 'NetworkPolicy', namespace: 'shop', name: 'web' } };

  test('has no connection: the rule is said, at once', async () => {
    const { contexts, asked } = build([], [], () => true);
    expect(await contexts.connections([IN], true)).toEqual([REFUSED]);
    expect(await contexts.connections([IN], false)).toEqual([REFUSED]);
    expect(asked).toHaveLength(2);
  });

  test('is not what has a connection that a rule admitted, whatever the rules say of it', async () => {
    const [facts] = await build([record()], [], () => true).contexts.connections([IN], true);
    expect(facts).not.toHaveProperty('refused');
    expect(facts).toMatchObject({ ruleId: 1006, flowId: '000000ab00000000' });
  });

  test('is what goes on in a connection that no rule admits any more', async () => {
    const [facts] = await build([record({ ruleIdIn: 0 })], [], () => true).contexts.connections([IN], false);
    expect(facts).toMatchObject({ ...REFUSED, flowId: '000000ab00000000' });
    // Admitted by its sender's rules, and no further.
    const local = record({ source: '10.0.0.2', sourcePort: 4, ruleIdOut: 6, ruleIdIn: 0 });
    expect((await build([local], [DB], () => true).contexts.connections([tuple('10.0.0.2', 4, '10.0.0.1', 80)], false))[0]).toMatchObject(REFUSED);
    expect((await build([record({ ruleIdIn: 0 })]).contexts.connections([IN], false))[0]).not.toHaveProperty('refused');
  });

  test('towards elsewhere only when the connection, whose destination may be translated, has been waited for', async () => {
    const out = tuple('10.0.0.2', 9, '192.0.2.7', 443);
    expect(await build([], [], () => true).contexts.connections([out], false)).toEqual([undefined]);
    const waited = build([], [], () => true);
    expect(await waited.contexts.connections([out], true)).toEqual([REFUSED]);
    expect(waited.asked.length).toBeGreaterThan(3);
    // As the workload sees it, which asked for a Service.
    const translated = record({ source: '10.0.0.2', sourcePort: 9, originalDestination: '192.0.2.7', originalDestinationPort: 443, destination: '10.0.9.9', destinationPort: 8443, ruleIdIn: 0, ruleIdOut: 6 });
    const found = await build((attempt) => (attempt < 3 ? [] : [translated]), [], () => true).contexts.connections([out, tuple('192.0.2.7', 443, '10.0.0.2', 9)], true);
    expect(found[0]).toMatchObject({ ruleId: 1007 });
    expect(found[0]).not.toHaveProperty('refused');
  });
});
