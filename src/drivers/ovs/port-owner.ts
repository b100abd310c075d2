/**
 * Whose a port is, as those who made it wrote it into external_ids. Formats as of 2026, from the sources: Antrea
 * (pkg/agent/cniserver, interfacestore; on the Port row), ovn-kubernetes (go-controller/pkg/cni/helper_linux.go), Kube-OVN
 * (pkg/daemon/ovs_linux.go), libvirt (virnetdevopenvswitch.c), OpenStack (os-vif; Neutron's iface-id), all on the Interface row.
 */
import { canonicalMac, isMac, v4FromText, v4ToText, v6FromText, v6ToText } from '../../model/address.js';

export type PortWorkload =
  | { readonly kind: 'Pod'; readonly namespace: string; readonly name: string; readonly uid?: string }
  /** Lower case, with dashes. */
  | { readonly kind: 'VirtualMachine'; readonly uuid: string };

export interface PortOwner {
  readonly manager: 'antrea' | 'ovn-kubernetes' | 'kube-ovn' | 'libvirt' | 'openstack' | 'other';
  /** Absent for what is no workload's: gateways, tunnels, uplinks, ports that name nobody. */
  readonly workload?: PortWorkload;
  /** What the manager calls the port: Antrea's type ("gateway", "tunnel" ...), else iface-id. */
  readonly id?: string;
  /** Of the pod, where it is not its first interface. */
  readonly vnic?: string;
  readonly sandbox?: string;
  /** Of the workload's end; canonical. */
  readonly mac?: string;
  /** Of the workload; canonical hosts, sorted as written. Empty where the manager does not say (virtual machines). */
  readonly addresses: readonly string[];
  /** False only where the manager says that the port is not in use (iface-status). */
  readonly active: boolean;
}

export type ExternalIds = ReadonlyMap<unknown, unknown>;

/** Undefined when nobody wrote anything known. What is there but malformed is as if absent. Where rows disagree, the Interface's is used. */
export function portOwner(portIds: ExternalIds, interfaceIds: ExternalIds): PortOwner | undefined {
  const get = (key: string): string | undefined => text(interfaceIds.get(key)) ?? text(portIds.get(key));
  const ids: Lookup = (...keys) => keys.map(get).find((value) => value !== undefined);
  return antrea(ids) ?? kubeOvn(ids) ?? ovnKubernetes(ids) ?? virtualMachine(ids) ?? other(ids);
}

/** The first of the keys that is there. */
type Lookup = (...keys: readonly string[]) => string | undefined;

function antrea(ids: Lookup): PortOwner | undefined {
  const type = ids('antrea-type');
  const name = ids('pod-name');
  const namespace = ids('pod-namespace');
  const isPod = name !== undefined && namespace !== undefined;
  if (!isPod && type === undefined) return undefined;
  return {
    manager: 'antrea',
    ...(isPod ? { workload: { kind: 'Pod', namespace, name } } : {}),
    ...optional('id', type),
    ...optional('vnic', ids('if-dev')),
    ...optional('sandbox', ids('container-id')),
    ...macOf(ids),
    addresses: addresses(ids('ip-address')),
    active: true,
  };
}

function kubeOvn(ids: Lookup): PortOwner | undefined {
  const name = ids('pod_name');
  const namespace = ids('pod_namespace');
  if (name === undefined || namespace === undefined) return undefined;
  return { manager: 'kube-ovn', workload: { kind: 'Pod', namespace, name }, ...optional('id', ids('iface-id')), ...macOf(ids), addresses: addresses(ids('ip')), active: true };
}

/** iface-id is NAMESPACE_POD, on further networks NETWORK_NAMESPACE_POD; no name of Kubernetes has an underscore. */
function ovnKubernetes(ids: Lookup): PortOwner | undefined {
  const id = ids('iface-id');
  const parts = id?.split('_') ?? [];
  const name = parts.pop();
  const namespace = parts.pop();
  const sandbox = ids('sandbox');
  if (sandbox === undefined || id === undefined || name === undefined || name === '' || namespace === undefined || namespace === '') return undefined;
  return {
    manager: 'ovn-kubernetes',
    workload: { kind: 'Pod', namespace, name, ...optional('uid', ids('iface-id-ver')) },
    id,
    ...optional('vnic', ids('k8s.ovn.org/nad')),
    sandbox,
    ...macOf(ids),
    addresses: addresses(ids('ip_addresses', 'ip_address')),
    active: true,
  };
}

function virtualMachine(ids: Lookup): PortOwner | undefined {
  const openstack = ids('vm-uuid');
  const uuid = canonicalUuid(openstack ?? ids('vm-id'));
  if (uuid === undefined) return undefined;
  return { manager: openstack === undefined ? 'libvirt' : 'openstack', workload: { kind: 'VirtualMachine', uuid }, ...optional('id', ids('iface-id')), ...macOf(ids), addresses: [], active: isActive(ids) };
}

function other(ids: Lookup): PortOwner | undefined {
  const id = ids('iface-id');
  return id === undefined ? undefined : { manager: 'other', id, ...macOf(ids), addresses: [], active: isActive(ids) };
}

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

const optional = <Key extends string>(key: Key, value: string | undefined): Partial<Record<Key, string>> => (value === undefined ? {} : ({ [key]: value } as Record<Key, string>));

const isActive = (ids: Lookup): boolean => (ids('iface-status') ?? 'active') === 'active';

function macOf(ids: Lookup): { readonly mac?: string } {
  const mac = ids('attached-mac', 'attached_mac');
  return mac !== undefined && isMac(mac) ? { mac: canonicalMac(mac) } : {};
}

/** Hosts between commas, with or without the length of their network. */
function addresses(list: string | undefined): readonly string[] {
  return (list ?? '').split(',').flatMap((entry) => {
    const host = entry.trim().replace(/\/\d+$/, '');
    const four = v4FromText(host);
    if (four !== undefined) return [v4ToText(four)];
    const six = v6FromText(host);
    return six === undefined ? [] : [v6ToText(six.hi, six.lo)];
  });
}

function canonicalUuid(value: string | undefined): string | undefined {
  const digits = value?.toLowerCase().replaceAll('-', '') ?? '';
  if (!/^[0-9a-f]{32}$/.test(digits)) return undefined;
  return [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20), digits.slice(20)].join('-');
}
