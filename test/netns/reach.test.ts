/** The instrument of the policy scenarios: what the reach prober says, against verdicts that plain nft rules give. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { mustRun } from '../support/command.js';
import { createWorld, HOST_IPV4, HOST_IPV6, OUTSIDE_IPV4, OUTSIDE_IPV6, type World } from '../support/netns.js';
import { startReach, type Check, type Reach, type Verdict } from '../support/probe/reach.js';
import { Reachability } from '../support/reachability.js';

let world: World;
let reach: Reach;
beforeAll(async () => {
  world = await createWorld({ workloads: 3, outside: true });
  await world.ovs?.forwardAll(world.workloads);
  reach = await startReach(world);
  for (const workload of world.workloads) await reach.endpoint(workload.name, workload.netns);
  await reach.endpoint('host', world.host, { ipv4: HOST_IPV4, ipv6: HOST_IPV6 });
  await reach.endpoint('outside', world.outside ?? '', { ipv4: OUTSIDE_IPV4, ipv6: OUTSIDE_IPV6 });
  for (const protocol of ['tcp', 'udp'] as const) {
    for (const workload of world.workloads) await reach.listen(workload.name, protocol, [80, 81, 82]);
    for (const address of [HOST_IPV4, HOST_IPV6]) await reach.listen('host', protocol, [80], address);
    for (const address of [OUTSIDE_IPV4, OUTSIDE_IPV6]) await reach.listen('outside', protocol, [80], address);
  }
});
afterAll(() => world.close());

/** Every protocol and family from an end to another; `port` 81 is dropped and 82 rejected by the rules below. */
function checks(from: string, to: readonly string[], port: number, expected: Verdict): Check[] {
  return to.flatMap((address) => (['tcp', 'udp'] as const).map((protocol): Check => ({ from, address, protocol, port, expected })));
}
const addresses = (index: number): string[] => [world.workload(index).ipv4, world.workload(index).ipv6];
const differ = async (batch: readonly Check[]): Promise<string[]> => {
  const verdicts = await reach.probe(batch);
  return batch.flatMap((check, index) => (verdicts[index] === check.expected ? [] : [`${JSON.stringify(check)}: ${verdicts[index]}`]));
};

it('connects between workloads, host and outside, over TCP, UDP and ICMP and both families', async () => {
  const pings = [...addresses(1), HOST_IPV4, HOST_IPV6, OUTSIDE_IPV4, OUTSIDE_IPV6].map((address): Check => ({ from: 'vm-0', address, protocol: 'icmp', port: 0, expected: 'Con' }));
  expect(await differ([
    ...pings, ...checks('vm-0', addresses(1), 80, 'Con'), ...checks('vm-0', [HOST_IPV4, HOST_IPV6, OUTSIDE_IPV4, OUTSIDE_IPV6], 80, 'Con'),
    ...checks('host', addresses(1), 80, 'Con'), ...checks('outside', addresses(1), 80, 'Con'), ...checks('vm-0', addresses(0), 80, 'Con'),
  ])).toEqual([]);
});

it('tells dropped from rejected, and does not take what was expected for what was seen', async () => {
  const rules = `table inet plain { chain forward { type filter hook forward priority 0;
    meta l4proto { tcp, udp } th dport 81 drop; tcp dport 82 reject with tcp reset; udp dport 82 reject with icmpx admin-prohibited
    ip daddr ${world.workload(2).ipv4} icmp type echo-request reject with icmpx host-unreachable; ip6 daddr ${world.workload(2).ipv6} icmpv6 type echo-request drop
    tcp dport 80 tcp sport 1234 drop; }; }`;
  await mustRun('ip', ['netns', 'exec', world.host, 'nft', '-f', '-'], { input: rules });
  try {
    const ping = (address: string, expected: Verdict): Check => ({ from: 'vm-0', address, protocol: 'icmp', port: 0, expected });
    const [v4 = '', v6 = ''] = addresses(2);
    const right = [
      ...checks('vm-0', addresses(1), 80, 'Con'), ...checks('vm-0', addresses(1), 81, 'Drp'), ...checks('vm-0', addresses(1), 82, 'Rej'), ping(v4, 'Rej'), ping(v6, 'Drp'),
      { from: 'vm-0', address: v4, protocol: 'tcp', port: 80, sourcePort: 1234, expected: 'Drp' } satisfies Check,
    ];
    expect(await differ(right)).toEqual([]);
    const verdicts = right.map(({ expected }) => expected);
    for (const wrong of ['Drp', 'Rej', 'Con'] as const) expect(await reach.probe(right.map((check) => ({ ...check, expected: wrong })), 800)).toEqual(verdicts);
  } finally {
    await mustRun('ip', ['netns', 'exec', world.host, 'nft', 'delete table inet plain']);
  }
});

it('a matrix holds what was set last, and no pod with itself', () => {
  const matrix = new Reachability(['x/a', 'x/b', 'y/a'], 'Con').set('x/*', 'y/*', 'Drp').set('*/a', ['x/b', 'y/a'], 'Rej');
  expect(matrix.pairs().map(({ from, to, expected }) => `${from} ${to} ${expected}`)).toEqual([
    'x/a x/b Rej', 'x/a y/a Rej', 'x/b x/a Con', 'x/b y/a Drp', 'y/a x/a Con', 'y/a x/b Rej',
  ]);
  expect(() => matrix.set('z/*', 'x/a', 'Drp')).toThrow('no pod matches z/*');
});
