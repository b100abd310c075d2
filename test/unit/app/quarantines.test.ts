import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AlertResponse, type ResponseRule } from '../../../src/app/alert-response.js';
import { Quarantines, type QuarantineEvent, type QuarantineRequest } from '../../../src/app/quarantines.js';
import { addressKey } from '../../../src/compile/addresses.js';
import { Compiler } from '../../../src/compile/compiler.js';
import { evaluate } from '../../../src/compile/evaluate.js';
import { quarantineTable, type QuarantineAllowance } from '../../../src/compile/quarantine.js';
import { buildWorld } from '../../../src/compile/world.js';
import { objectKey, type DesiredObject, type RuleTableObject, type WorkloadReference } from '../../../src/model/objects.js';
import type { AddressMatch, Rule } from '../../../src/model/rule.js';
import type { AlertView } from '../../../src/model/views.js';
import type { Clock } from '../../../src/platform/clock.js';
import type { Logger } from '../../../src/platform/logger.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
const WEB: WorkloadReference = { kind: 'VirtualMachine', name: 'web' };
const ANY: AddressMatch = { not: false, addressSets: [], addresses: [] };

class TurnedClock implements Clock {
  time = 1_000_000;
  actions: { readonly at: number; readonly run: () => void }[] = [];
  now(): number {
    return this.time;
  }
  monotonic(): number {
    return this.time;
  }
  after(delayMs: number, run: () => void): () => void {
    const action = { at: this.time + delayMs, run };
    this.actions.push(action);
    return () => {
      this.actions = this.actions.filter((each) => each !== action);
    };
  }
  turn(ms: number): void {
    this.time += ms;
    const due = this.actions.filter(({ at }) => at <= this.time);
    this.actions = this.actions.filter(({ at }) => at > this.time);
    for (const { run } of due) run();
  }
}

function vm(name: string, address: string): DesiredObject[] {
  return [
    { kind: 'VirtualMachine', metadata: { name, labels: {} }, nics: [{ name: 'eth0', addresses: [address] }] },
    { kind: 'Attachment', metadata: { name, labels: {} }, workload: { kind: 'VirtualMachine', name }, vnic: 'eth0', interface: `tap-${name}`, addresses: [address] },
  ];
}
function world(tables: readonly RuleTableObject[] = []) {
  const objects = new Map([...vm('web', '10.0.0.1'), ...vm('db', '10.0.0.2'), ...tables].map((object): [string, DesiredObject] => [objectKey(object), object]));
  let next = 1;
  const numbers = new Map<string, number>();
  return buildWorld(objects, {
    number: (key) => {
      const number = numbers.get(key) ?? next;
      if (number === next) next += 1;
      numbers.set(key, number);
      return number;
    },
  });
}
const rule = (change: Partial<Rule> & Pick<Rule, 'id' | 'action'>): Rule => ({
  direction: 'inout', protocol: 'any', source: ANY, sourcePorts: [], destination: ANY, ports: [], log: false, stateless: false, ...change,
});
const table = (name: string, rules: readonly Rule[]): RuleTableObject => ({ kind: 'RuleTable', metadata: { name, labels: {} }, addressSets: [], rules, layer2Rules: [] });

function build(options: { stored?: string; failOpen?: boolean; allow?: readonly QuarantineAllowance[]; clock?: TurnedClock } = {}) {
  const clock = options.clock ?? new TurnedClock();
  const events: QuarantineEvent[] = [];
  const state = { text: options.stored, changes: 0 };
  const seen = world();
  const quarantines = new Quarantines({
    store: {
      read: () => state.text,
      write: (text) => {
        state.text = text;
        return Promise.resolve();
      },
    },
    allow: options.allow ?? [], number: () => 9_001, world: () => seen, failOpen: options.failOpen ?? false, clock, log: silent,
    onEvent: (event) => events.push(event), onChange: () => void (state.changes += 1),
  });
  const filter = (name: string) => {
    const found = seen.filters.find((each) => each.workload.name === name);
    if (found === undefined) throw new Error(name);
    return found;
  };
  const request = (change: Partial<QuarantineRequest> = {}): QuarantineRequest => ({ workload: WEB, untilMs: clock.now() + 60_000, by: 'alice', reason: 'beaconing', ...change });
  return { quarantines, clock, events, state, filter, request };
}

describe('Quarantines', () => {
  test('begins, shows, ends by itself', async () => {
    const { quarantines, clock, events, state, filter, request } = build();
    quarantines.load();
    const view = await quarantines.add(request());
    expect(view).toMatchObject({ name: 'vm/web', filters: [filter('web').name], by: 'alice', reason: 'beaconing', until: new Date(clock.now() + 60_000).toISOString() });
    expect(quarantines.list()).toEqual([view]);
    expect(quarantines.tables(filter('web'), false).map((each) => each.table.metadata.name)).toEqual(['Quarantine:vm/web']);
    expect(quarantines.tables(filter('web'), false)[0]).toBe(quarantines.tables(filter('web'), false)[0]);
    expect(quarantines.tables(filter('db'), false)).toEqual([]);
    // It looks every 30 s at least, and ends in time.
    clock.turn(30_000);
    clock.turn(29_999);
    expect(quarantines.size).toBe(1);
    clock.turn(1);
    expect(quarantines.size).toBe(0);
    expect(quarantines.tables(filter('web'), false)).toEqual([]);
    expect(state.changes).toBe(2);
    expect(events.map(({ event, by }) => [event, by])).toEqual([['begin', 'alice'], ['end', 'time']]);
    await expect.poll(() => state.text).toBe('[]\n');
  });

  test('a second one extends and never shortens; release ends it', async () => {
    const { quarantines, clock, events, state, request } = build();
    await quarantines.add(request({ untilMs: clock.now() + 60_000 }));
    const shorter = await quarantines.add(request({ untilMs: clock.now() + 10_000, by: 'response' }));
    const longer = await quarantines.add(request({ untilMs: clock.now() + 90_000, by: 'response' }));
    expect([shorter.until, longer.until]).toEqual([60_000, 90_000].map((ms) => new Date(clock.now() + ms).toISOString()));
    expect(state.changes).toBe(1);
    await quarantines.release('vm/web', 'bob');
    expect(quarantines.list()).toEqual([]);
    expect(events.map(({ event, by }) => [event, by])).toEqual([['begin', 'alice'], ['extend', 'response'], ['extend', 'response'], ['release', 'bob']]);
    await expect(quarantines.release('vm/web', 'bob')).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
  });

  test('survives a restart; what ran out meanwhile ends at the start', async () => {
    const first = build();
    await first.quarantines.add(first.request());
    first.quarantines.stop();
    const stored = first.state.text ?? '';
    const second = build({ stored });
    second.clock.time = first.clock.time + 59_000;
    second.quarantines.load();
    expect(second.quarantines.list()).toEqual(first.quarantines.list());
    expect(second.quarantines.tables(second.filter('web'), false)).toHaveLength(1);
    second.quarantines.stop();
    const clock = new TurnedClock();
    clock.time = first.clock.time + 60_000;
    const third = build({ stored, clock });
    third.quarantines.load();
    expect(third.quarantines.list()).toEqual([]);
    expect(third.events).toMatchObject([{ event: 'end', by: 'time' }]);
  });

  test('a damaged file stops the start: to go on without it would open what is cut off', () => {
    for (const stored of ['', '{', '{}', '[{"workload":{"kind":"Pod"}}]', '[{"workload":{"kind":"Node","name":"n"},"sinceMs":1,"untilMs":2,"by":"a","reason":"b"}]']) {
      expect(() => build({ stored }).quarantines.load(), stored).toThrow('quarantines');
    }
  });

  test('refuses nodes, workloads that are not here, and times that are over', async () => {
    const { quarantines, clock, request } = build();
    await expect(quarantines.add(request({ workload: { kind: 'Node', name: 'n' } }))).rejects.toMatchObject({ code: 'E_INVALID' });
    await expect(quarantines.add(request({ workload: { kind: 'VirtualMachine', name: 'wep' } }))).rejects.toMatchObject({ code: 'E_NOT_FOUND', context: { nearest: ['vm/web'] } });
    await expect(quarantines.add(request({ untilMs: clock.now() }))).rejects.toMatchObject({ code: 'E_INVALID' });
    expect(quarantines.size).toBe(0);
  });
});

describe('what a quarantine does to packets', () => {
  const allowances: QuarantineAllowance[] = [{ addresses: ['192.0.2.0/24'], protocols: [6], ports: [{ first: 443, last: 443 }] }];
  const verdict = (side: 'in' | 'out', peer: string, protocol: number, port: number, tables: readonly RuleTableObject[], quarantined: boolean): string => {
    const seen = world(tables);
    const compiled = new Compiler().compile(seen, () => [], (filter) => (quarantined && filter.workload.name === 'web' ? [quarantineTable('vm/web', allowances, () => 9_001)] : []));
    const filter = seen.filters.find((each) => each.workload.name === 'web');
    const result = compiled.tables.get(compiled.filterTables.get(filter?.name ?? '') ?? '');
    const [own, other] = [addressKey('10.0.0.1'), addressKey(peer)];
    if (result === undefined || own === undefined || other === undefined) throw new Error('not compiled');
    const [source, destination] = side === 'in' ? [other, own] : [own, other];
    const label = evaluate(result, side, { source, destination, protocol, sourcePort: 40_000, port });
    return label === 'guarded' ? label : label.action;
  };
  const packet = fc.record({
    side: fc.constantFrom('in' as const, 'out' as const), peer: fc.constantFrom('192.0.2.9', '192.0.3.9', '10.0.0.2'), protocol: fc.constantFrom(1, 6, 17, 47), port: fc.constantFrom(22, 443, 2048),
  }).map((each) => ({ ...each, port: each.protocol === 47 ? 0 : each.port }));
  const randomRule = fc.record({
    id: fc.integer({ min: 1, max: 50 }), action: fc.constantFrom('accept' as const, 'drop' as const, 'reject' as const), direction: fc.constantFrom('in' as const, 'out' as const, 'inout' as const),
    protocol: fc.constantFrom('any' as const, 6, 17), peer: fc.constantFrom([], ['192.0.2.9'], ['192.0.2.0/23']),
  }).map(({ peer, ...rest }) => rule({ ...rest, source: { ...ANY, addresses: peer } }));

  test('drops everything but what it allows, and that is judged as without it: nothing is opened by any rules', () => {
    fc.assert(fc.property(fc.array(randomRule, { maxLength: 5 }), packet, (rules, { side, peer, protocol, port }) => {
      const tables = [table('aaa', rules.map((each, index) => ({ ...each, id: index + 1 })))];
      const without = verdict(side, peer, protocol, port, tables, false);
      const allowed = peer === '192.0.2.9' && protocol === 6 && port === 443;
      expect(verdict(side, peer, protocol, port, tables, true)).toBe(allowed ? without : 'drop');
    }), { numRuns: 200 });
  });

  test('where nothing else is in force: closed stays closed, open is cut', () => {
    const closed = build({ failOpen: false });
    const open = build({ failOpen: true });
    for (const { quarantines, request } of [closed, open]) void quarantines.add(request());
    expect(closed.quarantines.tables(closed.filter('web'), true)).toEqual([]);
    expect(open.quarantines.tables(open.filter('web'), true)).toHaveLength(1);
    expect(new Compiler().compile(world(), () => undefined, (filter, alone) => closed.quarantines.tables(filter, alone)).filterTables.size).toBe(0);
  });
});

describe('AlertResponse', () => {
  const alert = (change: Partial<AlertView> = {}): AlertView => ({
    id: 'a1', timestamp: '2026-01-02T03:04:05.678Z', signatureId: 7, signature: 's', category: 'c', severity: 1, action: 'allowed', protocol: 'tcp',
    source: { address: '10.0.0.9', port: 1 }, destination: { address: '10.0.0.1', port: 2 }, workload: WEB, ...change,
  });
  const asked = (rules: readonly ResponseRule[], ...alerts: readonly AlertView[]): QuarantineRequest[] => {
    const requests: QuarantineRequest[] = [];
    const response = new AlertResponse(rules, {
      add: (request) => {
        requests.push(request);
        return Promise.reject(new Error('not here'));
      },
    }, silent);
    for (const each of alerts) response.onAlert(each);
    return requests;
  };

  test('by signature, severity, or both; the first rule that fits; from the time of the alert on', () => {
    const rules: ResponseRule[] = [{ signatureIds: [7], severities: [1], durationMs: 1_000 }, { severities: [1, 2], durationMs: 5_000 }];
    const requests = asked(rules, alert(), alert({ signatureId: 8 }), alert({ severity: 2 }), alert({ severity: 3 }));
    expect(requests.map(({ untilMs }) => untilMs - Date.parse(alert().timestamp))).toEqual([1_000, 5_000, 5_000]);
    expect(requests[0]).toMatchObject({ workload: WEB, by: 'response', alertId: 'a1', reason: 'alert 7 s (severity 1) from 10.0.0.9' });
  });

  test('spares what is excepted, nodes, and alerts of nobody; without rules it does nothing', () => {
    const { workload: _, ...nobodys } = alert();
    const rules: ResponseRule[] = [{ severities: [1], durationMs: 1_000, except: { matchLabels: { tier: 'gateway' }, matchExpressions: [] } }];
    expect(asked(rules, alert({ labels: { tier: 'gateway' } }), alert({ workload: { kind: 'Node', name: 'n' } }), nobodys)).toEqual([]);
    expect(asked(rules, alert({ labels: { tier: 'web' } }))).toHaveLength(1);
    expect(asked([], alert())).toEqual([]);
    expect(asked([{ durationMs: 1_000 }], alert())).toEqual([]);
  });
});
