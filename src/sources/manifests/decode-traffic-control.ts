/** TrafficControl manifests → objects. */
import { v4FromText, v6FromText } from '../../model/address.js';
import type { CopyRateLimit, TrafficAppliedTo, TrafficControlObject, TrafficMatch, TrafficTarget } from '../../model/objects.js';
import { hash32 } from '../../model/text-hash.js';
import { quote } from '../../model/quote.js';
import type { TargetPortManifest, TrafficAppliedToManifest, TrafficControlManifest, TrafficMatchManifest } from './antrea-manifests.js';
import { interfaceProblem } from '../../model/names.js';
import { refuse, refuseIf } from './checks.js';
import { decodePorts, decodeProtocol } from './decode-rules.js';
import { decodeClusterMeta } from './metadata.js';
import { decodeOptionalSelector } from './selectors.js';

export function decodeTrafficControl(manifest: TrafficControlManifest): TrafficControlObject {
  const { appliedTo, direction, action, targetPort, returnPort, match } = manifest.spec;
  if (action === 'Redirect' && returnPort === undefined) throw refuse('spec.returnPort', 'action Redirect needs a returnPort');
  if (action === 'Mirror' && returnPort !== undefined) throw refuse('spec.returnPort', 'action Mirror takes no returnPort');
  const target = decodeTarget(targetPort, 'spec.targetPort');
  const back = returnPort === undefined ? undefined : decodeTarget(returnPort, 'spec.returnPort');
  if (back !== undefined && back.type !== 'device' && back.type !== 'internal') throw refuse('spec.returnPort', 'traffic comes back by a device or ovsInternal');
  return {
    kind: 'TrafficControl',
    metadata: decodeClusterMeta(manifest.metadata),
    appliedTo: decodeTrafficAppliedTo(appliedTo),
    direction,
    action,
    target,
    ...(back === undefined ? {} : { returnPort: back }),
    ...decodeTrafficMatch(match),
    ...decodeCopying(manifest.spec),
  };
}

/** What is said of copies. One connection in one is all of them. */
function decodeCopying({ action, sampling, rateLimit, refused }: TrafficControlManifest['spec']): Pick<TrafficControlObject, 'sampling' | 'rateLimit' | 'refused'> {
  for (const [name, value] of Object.entries({ sampling, rateLimit, refused })) {
    if (value !== undefined && value !== null && action !== 'Mirror') throw refuse(`spec.${name}`, `action ${action} takes no ${name}: it is said of copies`);
  }
  const connections = sampling?.connections ?? 1;
  return {
    ...(connections === 1 ? {} : { sampling: connections }),
    ...(rateLimit === undefined || rateLimit === null ? {} : { rateLimit: decodeRateLimit(rateLimit) }),
    ...(refused === undefined || refused === null ? {} : { refused }),
  };
}

function decodeRateLimit({ packetsPerSecond, bytesPerSecond, burst }: NonNullable<TrafficControlManifest['spec']['rateLimit']>): CopyRateLimit {
  const packets = packetsPerSecond ?? undefined;
  const bytes = bytesPerSecond ?? undefined;
  if (packets === undefined && bytes === undefined) throw refuse('spec.rateLimit', 'give packetsPerSecond, bytesPerSecond or both');
  if (packets === undefined && (burst ?? undefined) !== undefined) throw refuse('spec.rateLimit.burst', 'burst is in packets, and belongs to packetsPerSecond');
  return {
    ...(packets === undefined ? {} : { packetsPerSecond: packets }), ...(bytes === undefined ? {} : { bytesPerSecond: bytes }),
    ...(burst === undefined || burst === null ? {} : { burst }),
  };
}

/** Labels of virtual machines are tags, which have no syntax. */
export function decodeTrafficAppliedTo(manifest: TrafficAppliedToManifest): TrafficAppliedTo {
  const appliedTo: { -readonly [K in keyof TrafficAppliedTo]: TrafficAppliedTo[K] } = {};
  for (const name of ['podSelector', 'namespaceSelector', 'vmSelector', 'nodeSelector'] as const) {
    const selector = decodeOptionalSelector(manifest[name], `spec.appliedTo.${name}`, name === 'vmSelector' ? 'tags' : 'kubernetes');
    if (selector !== undefined) appliedTo[name] = selector;
  }
  return appliedTo;
}

/** An empty list would be no traffic at all: a mistake. */
export function decodeTrafficMatch(match: TrafficMatchManifest | undefined): { match?: readonly TrafficMatch[] } {
  if (match === undefined || match === null) return {};
  if (match.length === 0) throw refuse('spec.match', 'matches nothing; leave match out for all traffic');
  return {
    match: match.map(({ protocol, ports }, index): TrafficMatch => {
      const path = `spec.match[${index}]`;
      const number = decodeProtocol(protocol, `${path}.protocol`);
      if (number === 'any') throw refuse(`${path}.protocol`, 'name one protocol; leave match out for all traffic');
      const ranges = decodePorts(ports ?? [], `${path}.ports`);
      if (ranges.length > 0 && !PORT_PROTOCOLS.has(number)) throw refuse(`${path}.ports`, 'TCP, UDP and SCTP have ports');
      return { protocol: number, ports: ranges };
    }),
  };
}

/** TCP, UDP, SCTP. */
const PORT_PROTOCOLS: ReadonlySet<number> = new Set([6, 17, 132]);

function decodeTarget(port: TargetPortManifest, path: string): TrafficTarget {
  const [kind, ...others] = Object.keys(port);
  if (kind === undefined || others.length > 0) throw refuse(path, 'give exactly one of device, ovsInternal, geneve, vxlan, gre and erspan');
  const at = `${path}.${kind}`;
  const named = port.device ?? port.ovsInternal;
  if (named !== undefined) {
    refuseIf(interfaceProblem(named.name), `${at}.name`);
    return { type: port.device === undefined ? 'internal' : 'device', name: named.name, options: {} };
  }
  const udp = port.geneve ?? port.vxlan;
  if (udp !== undefined) return tunnel(port.geneve === undefined ? 'vxlan' : 'geneve', udp.remoteIP, at, { key: udp.vni, dst_port: udp.destinationPort });
  if (port.gre !== undefined) return tunnel('gre', port.gre.remoteIP, at, { key: port.gre.key });
  if (port.erspan === undefined) throw refuse(path, 'give exactly one of device, ovsInternal, geneve, vxlan, gre and erspan');
  const { remoteIP, sessionID, version, index, dir, hardwareID } = port.erspan;
  if (version === 1 && (dir ?? hardwareID ?? undefined) !== undefined) throw refuse(at, 'dir and hardwareID belong to version 2');
  if (version === 2 && (index ?? undefined) !== undefined) throw refuse(`${at}.index`, 'index belongs to version 1');
  return tunnel('erspan', remoteIP, at, { key: sessionID, erspan_ver: version, erspan_idx: index, erspan_dir: dir, erspan_hwid: hardwareID });
}

function tunnel(type: TrafficTarget['type'], remote: string, path: string, numbers: Readonly<Record<string, number | null | undefined>>): TrafficTarget {
  if (v4FromText(remote) === undefined && v6FromText(remote) === undefined) throw refuse(`${path}.remoteIP`, `${quote(remote)} is not an address`);
  const options: Record<string, string> = { remote_ip: remote };
  for (const [name, value] of Object.entries(numbers)) if (value !== undefined && value !== null) options[name] = String(value);
  return { type, name: `dfw${hash32(JSON.stringify([type, options])).toString(16).padStart(8, '0')}`, options };
}
