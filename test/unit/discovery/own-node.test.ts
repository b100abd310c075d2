/** This host as a Node: what it is called, which addresses it has, and for how long when they cannot be told. */
import { expect, it } from 'vitest';
import { OwnNode } from '../../../src/discovery/own-node.js';
import { accept } from '../../support/decode.js';
import { silent } from '../../support/silent.js';
import { ManualClock } from '../dns/manual-clock.js';

const never = new AbortController().signal;
interface Host { routes: Partial<Record<4 | 6, string>>; fails: boolean; kept: string | undefined }

function made(host: Host, clock: ManualClock, addresses: readonly string[] = []): OwnNode {
  return new OwnNode({
    name: 'host-1', labels: { zone: 'a' }, addresses, clock, log: silent, close: () => undefined,
    source: async (family) => (host.fails ? Promise.reject(new Error('no answer')) : Promise.resolve(host.routes[family])),
    store: { read: () => host.kept, write: async (text) => {
      host.kept = text;
      return Promise.resolve();
    } },
  });
}
const addressesOf = (node: OwnNode): readonly string[] => accept('Node', [...node.snapshot().manifests.values()][0]).addresses;

it('has the addresses that are configured, and else those of its default routes; others are told of changes', async () => {
  const host: Host = { routes: { 4: '192.0.2.1', 6: '2001:db8::1' }, fails: false, kept: undefined };
  const configured = made(host, new ManualClock(), ['198.51.100.9']);
  await configured.start(never);
  expect([...configured.snapshot().objects.values()]).toEqual([{ kind: 'Node', metadata: { name: 'host-1', labels: { zone: 'a' } }, addresses: ['198.51.100.9'] }]);
  const node = made(host, new ManualClock());
  await node.start(never);
  expect([addressesOf(node), node.problems]).toEqual([['192.0.2.1', '2001:db8::1'], []]);
  let told = 0;
  node.onChange(() => {
    told += 1;
  });
  await node.sync(never);
  expect(told).toBe(0);
  host.routes = { ...host.routes, 4: '192.0.2.7' };
  await node.sync(never);
  expect([told, addressesOf(node)]).toEqual([1, ['192.0.2.7', '2001:db8::1']]);
  await node.stop();
  await configured.stop();
});

it('keeps an address whose route is away for a minute, over a restart, too; and while nothing can be told', async () => {
  const host: Host = { routes: { 4: '192.0.2.1', 6: '2001:db8::1' }, fails: false, kept: undefined };
  const clock = new ManualClock();
  const before = made(host, clock);
  await before.start(never);
  await before.stop();
  host.routes = { 6: '2001:db8::1' };
  const node = made(host, clock);
  await node.start(never);
  expect(addressesOf(node)).toEqual(['192.0.2.1', '2001:db8::1']);
  clock.move(59_000);
  await node.sync(never);
  expect(addressesOf(node)).toEqual(['192.0.2.1', '2001:db8::1']);
  clock.move(1_001);
  await node.sync(never);
  expect(addressesOf(node)).toEqual(['2001:db8::1']);
  host.fails = true;
  clock.move(600_000);
  await node.sync(never);
  expect([addressesOf(node), node.problems]).toEqual([['2001:db8::1'], [expect.stringContaining('no answer')]]);
  host.fails = false;
  host.routes = {};
  await node.sync(never);
  clock.move(60_001);
  await node.sync(never);
  expect([addressesOf(node), node.problems]).toEqual([[], [expect.stringContaining('discovery.node.addresses')]]);
  await node.stop();
});
