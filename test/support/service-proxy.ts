/**
 * Services as a node's proxy makes them: destination NAT in prerouting and output, and masquerade of what a pod sends to
 * itself through a Service. One endpoint a Service. The table lives in the world's host namespace, beside the agent's.
 */
import { mustRun } from './command.js';
import type { World } from './netns.js';

export interface ProxiedPort {
  /** ClusterIP or node address. */
  readonly address: string;
  readonly port: number;
  readonly protocol?: 'tcp' | 'udp';
  /** The endpoint. */
  readonly to: string;
  readonly toPort: number;
}

const TABLE = 'inet service-proxy';

/** Takes the place of what an earlier call installed; an empty list removes it. */
export async function proxyServices(world: World, ports: readonly ProxiedPort[]): Promise<void> {
  const translate = ports.map(({ address, port, protocol = 'tcp', to, toPort }) => (to.includes(':')
    ? `ip6 daddr ${address} ${protocol} dport ${port} dnat ip6 to [${to}]:${toPort}`
    : `ip daddr ${address} ${protocol} dport ${port} dnat ip to ${to}:${toPort}`));
  const hairpin = [...new Set(ports.map(({ to }) => to))].map((to) => {
    const family = to.includes(':') ? 'ip6' : 'ip';
    return `ct status dnat ${family} saddr ${to} ${family} daddr ${to} masquerade`;
  });
  const table = `table ${TABLE} {
    chain services { ${translate.join('; ')}; }
    chain arriving { type nat hook prerouting priority dstnat; jump services; }
    chain local { type nat hook output priority -100; jump services; }
    chain leaving { type nat hook postrouting priority srcnat; ${hairpin.join('; ')}; }
  }`;
  const script = `table ${TABLE} {}\ndelete table ${TABLE}\n${ports.length === 0 ? '' : table}\n`;
  await mustRun('ip', ['netns', 'exec', world.host, 'nft', '-f', '-'], { input: script });
}
