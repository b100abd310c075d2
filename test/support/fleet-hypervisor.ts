/** A world as one more host on the link of a fleet: a hypervisor whose machines the cluster's nodes reach by it, on the datapath of the test run. */
import { mustRun } from './command.js';
import type { Fleet } from './fleet.js';
import type { World } from './netns.js';

export const HYPERVISOR_IPV4 = '192.0.2.200';
/** Free ones, of the fleet's link. */
const MAC = '02:df:00:00:00:c8';

/** Nodes and the outside get routes to the world's workloads (IPv4). Ends with the world; the fleet must be closed after it. */
export async function joinFleet(fleet: Fleet, world: World): Promise<void> {
  const ip = (netns: string, lines: readonly string[]): Promise<string> => mustRun('ip', ['-n', netns, '-batch', '-'], { input: `${lines.join('\n')}\n` });
  await ip(world.host, [
    `link add uplink address ${MAC} type veth peer name hyper netns ${fleet.outside}`, 'link set uplink up', `addr add ${HYPERVISOR_IPV4}/24 dev uplink`, 'route add default via 192.0.2.254',
  ]);
  await ip(fleet.outside, ['link set hyper master br0 up']);
  for (const netns of [fleet.outside, ...fleet.nodes.map((node) => node.netns)]) await ip(netns, world.workloads.map(({ ipv4 }) => `route add ${ipv4}/32 via ${HYPERVISOR_IPV4}`));
}
