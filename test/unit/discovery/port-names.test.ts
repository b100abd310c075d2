import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { namePorts, type NamedPort, type PortIdentity } from '../../../src/discovery/port-names.js';

const NONE: ReadonlySet<string> = new Set();
const present = (ports: readonly PortIdentity[], known: readonly NamedPort[], taken = NONE): Record<string, string> =>
  Object.fromEntries(namePorts(ports, known, taken).slice(-ports.length || Infinity).map(({ port, attachment }) => [port, attachment]));
const port = (name: string, identity: string): PortIdentity => ({ port: name, identity });

describe('names of ports', () => {
  it('are made of the port\'s name', () => {
    expect(present([port('veth1', 'a'), port('we#ird', 'b')], [])).toEqual({ veth1: 'ovs-veth1', 'we#ird': 'ovs-we_ird' });
  });

  it('stay with what is plugged in again, under the same name or another', () => {
    const first = namePorts([port('p1', 'a'), port('p2', 'b')], [], NONE);
    const gone = namePorts([port('p2', 'b')], first, NONE);
    expect(gone.map(({ attachment }) => attachment)).toEqual(['ovs-p1', 'ovs-p2']);
    expect(present([port('p1', 'a'), port('p2', 'b')], gone)).toEqual({ p1: 'ovs-p1', p2: 'ovs-p2' });
    expect(present([port('q', 'a'), port('p2', 'b')], gone)).toEqual({ q: 'ovs-p1', p2: 'ovs-p2' });
    // In one step, and both at once.
    expect(present([port('p1', 'b'), port('p2', 'a')], first)).toEqual({ p1: 'ovs-p2', p2: 'ovs-p1' });
  });

  it('are never shared: a pod\'s new port beside its old one has its own', () => {
    const first = namePorts([port('p1', 'a')], [], NONE);
    expect(present([port('p1', 'a'), port('p2', 'a')], first)).toEqual({ p1: 'ovs-p1', p2: 'ovs-p2' });
    const both = namePorts([port('p1', 'a'), port('p2', 'a')], first, NONE);
    expect(present([port('p2', 'a')], both)).toEqual({ p2: 'ovs-p2' });
  });

  it('make way for those that others have', () => {
    const first = namePorts([port('p1', 'a')], [], NONE);
    const name = present([port('p1', 'a')], first, new Set(['ovs-p1']))['p1'];
    expect(name).toMatch(/^ovs-p1-[0-9a-f]+$/);
    // A name that came to another workload is not remembered for the first.
    const taken = namePorts([port('p1', 'b')], namePorts([], first, NONE), NONE);
    expect(taken).toEqual([{ port: 'p1', identity: 'b', attachment: 'ovs-p1' }]);
  });

  it('of ports that went are forgotten, the oldest first', () => {
    const many = Array.from({ length: 1_100 }, (_, index) => port(`p${index}`, `id${index}`));
    const half = namePorts(many.slice(600), namePorts(many.slice(0, 600), [], NONE), NONE);
    const known = namePorts([port('q', 'q')], half, NONE);
    expect([known.length, known[0]?.port, known.at(-1)?.port, known.at(-2)?.port]).toEqual([1_001, 'p100', 'q', 'p1099']);
  });

  it('are all different, not taken, and stable, whatever comes and goes', () => {
    const names = fc.constantFrom('a', 'b', 'c', 'a#', 'a!');
    const step = fc.record({
      ports: fc.uniqueArray(fc.record({ port: names, identity: fc.constantFrom('x', 'y', 'z') }), { selector: (entry) => entry.port, maxLength: 5 }),
      taken: fc.uniqueArray(fc.constantFrom<string>('ovs-a', 'ovs-b', 'ovs-a_')),
    });
    fc.assert(fc.property(fc.array(step, { maxLength: 8 }), (steps) => {
      let known: readonly NamedPort[] = [];
      for (const { ports, taken } of steps) {
        const next = namePorts(ports, known, new Set(taken));
        expect(new Set(next.map(({ attachment }) => attachment)).size).toBe(next.length);
        expect(next.slice(next.length - ports.length).map((entry) => ({ port: entry.port, identity: entry.identity }))).toEqual(ports);
        for (const { attachment } of next.slice(next.length - ports.length)) expect(taken).not.toContain(attachment);
        expect(namePorts(ports, next, new Set(taken))).toEqual(next);
        for (const entry of ports) {
          const before = known.find((had) => had.port === entry.port && had.identity === entry.identity)?.attachment;
          if (before !== undefined && !taken.includes(before)) expect(next.find((now) => now.port === entry.port && now.identity === entry.identity)?.attachment).toBe(before);
        }
        known = next;
      }
    }));
  });
});
