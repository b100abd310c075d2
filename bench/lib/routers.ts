/**
 * Routers for packet benchmarks, each in a network namespace of its own, so that each has its own rules and connections:
 *
 *   this namespace   cN ---- wire0  router N  vnic0 ---- sN   this namespace
 *
 * Frames are sent from cN by hand and dropped where they arrive: at ingress of sN, replies at ingress of cN. Needs a sandbox.
 */
import { mkdir } from 'node:fs/promises';
import { mustRun } from './command.js';
import { addressText } from '../model/policy.js';
import { SERVER } from '../model/frames.js';

export const VNIC = 'vnic0';

export interface Router {
  readonly namespace: string;
  /** Interfaces on this side. */
  readonly client: string;
  readonly server: string;
  readonly macs: { readonly client: readonly number[]; readonly wire: readonly number[]; readonly vnic: readonly number[]; readonly server: readonly number[] };
}

/** Named namespaces live on a file system of this process's own mount namespace. */
export async function prepareNamespaces(): Promise<void> {
  await mkdir('/run/netns', { recursive: true });
  await mustRun('mount', ['-t', 'tmpfs', 'tmpfs', '/run/netns']);
}

export async function addRouters(count: number): Promise<Router[]> {
  const routers = Array.from({ length: count }, (_, index) => router(index));
  for (const one of routers) await addRouter(one);
  await mustRun('nft', ['-f', '-'], {
    stdin: `table netdev sink {\n${routers.flatMap(({ client, server }) => [client, server])
      .map((name) => `chain ${name} { type filter hook ingress device "${name}" priority 0; drop; }`).join('\n')}\n}\n`,
  });
  return routers;
}

function router(index: number): Router {
  const mac = (end: number): readonly number[] => [2, 0xbe, 0, 0, end, index];
  return {
    namespace: `router${index}`, client: `c${index}`, server: `s${index}`,
    macs: { client: mac(1), wire: mac(2), vnic: mac(3), server: mac(4) },
  };
}

async function addRouter({ namespace, client, server, macs }: Router): Promise<void> {
  const ip = (text: string): Promise<unknown> => mustRun('ip', text.split(' '));
  const gateway = '192.0.2.1';
  await ip(`netns add ${namespace}`);
  await ip(`link add ${client} address ${macText(macs.client)} type veth peer name wire0 address ${macText(macs.wire)} netns ${namespace}`);
  await ip(`link add ${server} address ${macText(macs.server)} type veth peer name ${VNIC} address ${macText(macs.vnic)} netns ${namespace}`);
  await mustRun('sysctl', ['-qw', `net.ipv6.conf.${client}.disable_ipv6=1`, `net.ipv6.conf.${server}.disable_ipv6=1`]);
  await ip(`link set ${client} up`);
  await ip(`link set ${server} up`);
  await mustRun('ip', ['netns', 'exec', namespace, 'sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.default.rp_filter=0',
    'net.ipv4.conf.wire0.rp_filter=0', `net.ipv4.conf.${VNIC}.rp_filter=0`]);
  await ip(`-n ${namespace} link set wire0 up`);
  await ip(`-n ${namespace} link set ${VNIC} up`);
  await ip(`-n ${namespace} address add 192.0.2.2/24 dev wire0`);
  await ip(`-n ${namespace} neighbor replace ${gateway} lladdr ${macText(macs.client)} dev wire0 nud permanent`);
  await ip(`-n ${namespace} route add 10.0.0.0/8 via ${gateway}`);
  await ip(`-n ${namespace} route add ${addressText(SERVER)} dev ${VNIC}`);
  await ip(`-n ${namespace} neighbor replace ${addressText(SERVER)} lladdr ${macText(macs.server)} dev ${VNIC} nud permanent`);
}

function macText(mac: readonly number[]): string {
  return mac.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** Packets that came out of a router towards the workload. */
export async function delivered({ server }: Router): Promise<number> {
  const { stdout } = await mustRun('ip', ['-j', '-s', 'link', 'show', server]);
  const [link] = JSON.parse(stdout) as { stats64: { rx: { packets: number } } }[];
  return link?.stats64.rx.packets ?? 0;
}
