import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ownerOf } from '../../../../src/compile/egress/owner.js';
import { ADDRESS_PREFIX, NODE_PREFIX, type EgressLeases, type LeaseEntry } from '../../../../src/drivers/egress/leases.js';
import { Ownership } from '../../../../src/drivers/egress/ownership.js';
import type { Clock } from '../../../../src/platform/clock.js';
import type { Logger } from '../../../../src/platform/logger.js';
import { ManualClock } from '../../dns/manual-clock.js';

const TTL = 3_000;
const ADDRESSES = ['192.0.2.1', '192.0.2.2', '192.0.2.3'];
const quiet: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => quiet };

/** The store of all nodes, with a clock of its own. */
class Store {
  private readonly entries = new Map<string, LeaseEntry & { readonly until: number }>();
  constructor(private readonly clock: Clock) {}

  alive(): LeaseEntry[] {
    return [...this.entries.values()].filter(({ until }) => until > this.clock.monotonic()).map(({ key, holder, value }) => ({ key, holder, value }));
  }
  claim(entry: LeaseEntry, ttlMs: number): LeaseEntry {
    const known = this.alive().find(({ key }) => key === entry.key);
    if (known !== undefined && known.holder !== entry.holder) return known;
    this.entries.set(entry.key, { ...entry, until: this.clock.monotonic() + ttlMs });
    return entry;
  }
  release(key: string, holder: string): void {
    if (this.entries.get(key)?.holder === holder) this.entries.delete(key);
  }
}

/** A node that can be cut off from the store, get its answers late, and be stopped like a process. */
class Node {
  mode: 'well' | 'cut' | 'hangs' | 'late' = 'well';
  stopped = false;
  /** What the kernel lets through: address → until when. */
  kernel: ReadonlyMap<string, number> = new Map();
  readonly ownership: Ownership;
  private readonly waiting: (() => void)[] = [];
  private readonly abort = new AbortController();

  constructor(readonly name: string, private readonly clock: ManualClock, private readonly store: Store, identity = name, eligible = (_node: string): boolean => true) {
    this.ownership = new Ownership({
      leases: this.leases(), clock: this.ownClock(), log: quiet, node: name, identity, ttlMs: TTL, ownerOf, endpoint: () => name,
      wanted: () => ADDRESSES.map((address) => ({ address, eligible })), onChange: () => undefined,
      apply: async (held) => {
        this.kernel = new Map(held);
      },
    });
    this.ownership.start(this.abort.signal);
  }

  go(): void {
    this.stopped = false;
    for (const action of this.waiting.splice(0)) action();
  }
  end(): void {
    this.abort.abort();
  }
  /** Addresses that it uses now, whatever it thinks. */
  uses(): string[] {
    return [...this.kernel].filter(([, until]) => until > this.clock.monotonic()).map(([address]) => address);
  }

  private later(action: () => void): void {
    if (this.stopped) this.waiting.push(action);
    else action();
  }
  private ownClock(): Clock {
    return { now: this.clock.now, monotonic: this.clock.monotonic, after: (delay, action) => this.clock.after(delay, () => this.later(action)) };
  }
  private leases(): EgressLeases {
    const asked = <T>(what: () => T): Promise<T> => new Promise((resolve, reject) => {
      const { mode } = this;
      if (mode === 'hangs') return;
      if (mode === 'cut') {
        this.later(() => reject(new Error('not reachable')));
        return;
      }
      const answer = what();
      if (mode === 'late') this.clock.after(700, () => this.later(() => resolve(answer)));
      else this.later(() => resolve(answer));
    });
    return {
      list: () => asked(() => this.store.alive()), claim: (entry, ttlMs) => asked(() => this.store.claim(entry, ttlMs)),
      release: (key, holder) => asked(() => this.store.release(key, holder)), onChange: () => () => undefined,
    };
  }
}

const microtasks = async (): Promise<void> => {
  for (let i = 0; i < 40; i += 1) await Promise.resolve();
};

function worldOf(...names: readonly string[]): { readonly clock: ManualClock; readonly store: Store; readonly nodes: Node[]; readonly pass: (ms: number, check?: () => void) => Promise<void> } {
  const clock = new ManualClock();
  const store = new Store(clock);
  const nodes = names.map((name) => new Node(name, clock, store));
  const pass = async (ms: number, check?: () => void): Promise<void> => {
    for (let gone = 0; gone < ms; gone += 50) {
      clock.move(50);
      await microtasks();
      check?.();
    }
  };
  return { clock, store, nodes, pass };
}
const users = (nodes: readonly Node[], address: string): string[] => nodes.filter((node) => node.uses().includes(address)).map(({ name }) => name);

describe('ownership of addresses', () => {
  test('each address on one node, all nodes of the same mind', async () => {
    const { nodes, pass } = worldOf('a', 'b', 'c');
    await pass(3_000);
    for (const address of ADDRESSES) {
      const [owner, ...more] = users(nodes, address);
      expect(more).toEqual([]);
      for (const node of nodes) expect(node.ownership.holders?.get(address)?.node).toBe(owner);
    }
    expect([...nodes[0]?.ownership.nodes.keys() ?? []].sort()).toEqual(['a', 'b', 'c']);
  });

  test.each(['cut', 'hangs', 'stopped'] as const)('a node that is %s: it stops before the others begin, and they have all within a lease and a sixth', async (how) => {
    const { nodes, clock, pass } = worldOf('a', 'b');
    await pass(3_000);
    const [failing = nodes[0]] = nodes.filter((node) => node.uses().length > 0);
    const other = nodes.find((node) => node !== failing);
    if (failing === undefined || other === undefined) throw new Error('no nodes');
    const mine = failing.uses();
    expect(mine).not.toEqual([]);
    if (how === 'stopped') failing.stopped = true;
    else failing.mode = how;
    const since = clock.monotonic();
    await pass(TTL * 7 / 6 + 200, () => {
      for (const address of ADDRESSES) expect(users(nodes, address).length).toBeLessThanOrEqual(1);
    });
    for (const address of ADDRESSES) expect(users(nodes, address)).toEqual([other.name]);
    expect(clock.monotonic() - since).toBeLessThan(5_000);
    if (how !== 'stopped') expect(failing.ownership.problems.join()).toMatch(/leases cannot be read/);
    failing.mode = 'well';
    failing.go();
    await pass(3_000, () => {
      for (const address of ADDRESSES) expect(users(nodes, address).length).toBeLessThanOrEqual(1);
    });
    expect(failing.uses().sort()).toEqual(mine.sort());
    expect(failing.ownership.problems).toEqual([]);
  });

  test('what is there in its name, and is not its own any more, is given up: others could not have it', async () => {
    const { store, clock, nodes: [other], pass } = worldOf('b');
    // Of a process before this one, or of a claim whose answer came too late; somebody keeps it alive.
    for (const address of ADDRESSES) store.claim({ key: ADDRESS_PREFIX + address, holder: 'a', value: '{}' }, 1e9);
    await pass(1_000);
    expect(other?.uses()).toEqual([]);
    const node = new Node('a', clock, store, 'a', (name) => name === 'b');
    await pass(2_000);
    expect(other?.uses().sort()).toEqual(ADDRESSES);
    node.end();
  });

  test('who goes on after a stop forgets what it held before it does anything else', async () => {
    const { nodes: [node], store, clock, pass } = worldOf('a');
    await pass(2_000);
    expect(node?.ownership.held.size).toBe(ADDRESSES.length);
    if (node === undefined) return;
    node.stopped = true;
    await pass(4_000);
    for (const address of ADDRESSES) store.claim({ key: ADDRESS_PREFIX + address, holder: 'other', value: '{}' }, 60_000);
    node.go();
    await microtasks();
    expect([...node.ownership.held.values()].filter((until) => until > clock.monotonic())).toEqual([]);
    await pass(2_000);
    expect(node.uses()).toEqual([]);
  });

  test('two agents with one name: the second takes nothing and says so', async () => {
    const { clock, store, nodes, pass } = worldOf('a');
    await pass(1_000);
    const twin = new Node('a', clock, store, 'a, the other');
    await pass(3_000);
    expect(twin.uses()).toEqual([]);
    expect(twin.ownership.problems.join()).toMatch(/another agent calls itself a/);
    expect(nodes[0]?.uses()).toEqual(ADDRESSES);
  });

  test('a process that comes after another of the same identity goes on at once', async () => {
    const { clock, store, nodes, pass } = worldOf('a');
    await pass(1_000);
    nodes[0]?.end();
    const next = new Node('a', clock, store);
    await pass(100);
    expect(next.uses()).toEqual(ADDRESSES);
  });

  test('nodes that may have no address take no part, and ask nobody when there is none', async () => {
    const clock = new ManualClock();
    const store = new Store(clock);
    const node = new Node('a', clock, store, 'a', () => false);
    clock.move(50);
    await microtasks();
    expect(store.alive().some(({ key }) => key.startsWith(NODE_PREFIX))).toBe(false);
    expect(node.uses()).toEqual([]);
  });

  test('whatever happens to nodes: no address on two at any time; and once they are well, each on one', async () => {
    const event = fc.record({ node: fc.nat(2), what: fc.constantFrom('well', 'cut', 'hangs', 'late', 'stop', 'go', 'leave'), forMs: fc.integer({ min: 50, max: 4_000 }) });
    await fc.assert(fc.asyncProperty(fc.array(event, { maxLength: 14 }), async (events) => {
      const { clock, store, nodes, pass } = worldOf('a', 'b', 'c');
      const alone = (): void => {
        for (const address of ADDRESSES) expect(users(nodes, address).length, address).toBeLessThanOrEqual(1);
      };
      for (const { node: index, what, forMs } of events) {
        const node = nodes[index];
        if (node === undefined) continue;
        if (what === 'stop') node.stopped = true;
        else if (what === 'go') node.go();
        else if (what === 'leave') {
          node.end();
          nodes[index] = new Node(node.name, clock, store, `${node.name} again ${clock.monotonic()}`);
          // What the kernel has of the old process stands until its time.
          const { kernel } = node;
          const fresh = nodes[index];
          if (fresh !== undefined && fresh.kernel.size === 0) fresh.kernel = kernel;
        } else node.mode = what;
        await pass(forMs, alone);
      }
      for (const node of nodes) {
        node.mode = 'well';
        node.go();
      }
      await pass(9_000, alone);
      for (const address of ADDRESSES) expect(users(nodes, address)).toHaveLength(1);
    }), { numRuns: 60 });
  });
});
