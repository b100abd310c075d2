/** ClusterGroup, Group, ExternalEntity, Egress and ExternalIPPool of crd.antrea.io → objects. */
import type { AntreaGroupObject, EgressObject, ExternalEntityObject, ExternalIpPoolObject } from '../../model/policy-objects.js';
import type { AntreaGroupManifest, EgressManifest, ExternalEntityManifest, ExternalIpPoolManifest, IpRangeManifest } from './antrea-manifests.js';
import { canonicalMember } from '../../model/address.js';
import { portNameProblem, subdomainProblem } from '../../model/names.js';
import { quote } from '../../model/quote.js';
import { decodeHost, decodeIpBlock, decodePrefix } from './addresses.js';
import { NONE, at, checkUnique, fieldsPresent, refuse, refuseIf, type Draft } from './checks.js';
import { decodeClusterMeta, decodeNamespacedMeta, decodeNamespacedName } from './metadata.js';
import { PROTOCOL_NUMBERS, checkPort } from './ports.js';
import { quantityOf } from './quantity.js';
import { EVERYTHING, decodeOptionalSelector } from './selectors.js';

const WAYS = ['podSelector', 'namespaceSelector', 'externalEntitySelector', 'nodeSelector', 'ipBlock', 'ipBlocks', 'serviceReference', 'childGroups'] as const;
/** A burst that the kernel can count: 32 bits of bytes. */
const MAX_BITS = 34_000_000_000;
const MIN_BITS = 8_000;
type Way = (typeof WAYS)[number];

export function decodeClusterGroup(manifest: AntreaGroupManifest): AntreaGroupObject {
  return decodeGroup(manifest, 'ClusterGroup');
}

export function decodeAntreaGroup(manifest: AntreaGroupManifest): AntreaGroupObject {
  return decodeGroup(manifest, 'AntreaGroup');
}

function decodeGroup(manifest: AntreaGroupManifest, kind: AntreaGroupObject['kind']): AntreaGroupObject {
  const { spec } = manifest;
  const metadata = kind === 'AntreaGroup' ? decodeNamespacedMeta(manifest.metadata) : decodeClusterMeta(manifest.metadata);
  checkWays(fieldsPresent(spec, WAYS), kind);
  const group: Draft<AntreaGroupObject> = { kind, metadata, ipBlocks: decodeIpBlocks(spec), childGroups: decodeChildGroups(spec.childGroups, metadata.name) };
  const podSelector = decodeOptionalSelector(spec.podSelector, 'spec.podSelector');
  const namespaceSelector = decodeOptionalSelector(spec.namespaceSelector, 'spec.namespaceSelector');
  const entities = decodeOptionalSelector(spec.externalEntitySelector, 'spec.externalEntitySelector');
  const nodes = decodeOptionalSelector(spec.nodeSelector, 'spec.nodeSelector');
  if (podSelector !== undefined || namespaceSelector !== undefined) {
    group.selection = { ...(podSelector === undefined ? {} : { podSelector }), ...(namespaceSelector === undefined ? {} : { namespaceSelector }) };
  }
  if (entities !== undefined) group.externalEntitySelector = entities;
  if (nodes !== undefined) group.nodeSelector = nodes;
  const { serviceReference } = spec;
  if (serviceReference !== undefined && serviceReference !== null) {
    const { name, namespace } = serviceReference;
    const place = namespace === undefined || namespace === null || namespace === '' ? metadata.namespace : namespace;
    if (place === undefined) throw refuse('spec.serviceReference', 'the field namespace is missing');
    if (metadata.namespace !== undefined && place !== metadata.namespace) {
      throw refuse('spec.serviceReference.namespace', `a Group of namespace ${metadata.namespace} cannot name a Service of ${place}; use a ClusterGroup`);
    }
    group.service = decodeNamespacedName({ namespace: place, name }, 'spec.serviceReference');
  }
  return group;
}

/** One way to select: pods by pod and namespace selectors, entities by entity and namespace selectors, or any other field alone. */
function checkWays(ways: readonly Way[], kind: AntreaGroupObject['kind']): void {
  if (ways.length === 0) throw refuse('spec', `is empty; give one of ${WAYS.join(', ')}`);
  const [first, second, third] = ways;
  const pair = first === 'podSelector' ? second === 'namespaceSelector' : first === 'namespaceSelector' && second === 'externalEntitySelector';
  if (third !== undefined || (second !== undefined && !pair)) throw refuse('spec', `${ways.join(', ')} cannot be combined; a group selects in one way`);
  if (kind === 'AntreaGroup' && first === 'nodeSelector') throw refuse('spec.nodeSelector', 'a Group of a namespace cannot select nodes; use a ClusterGroup');
}

function decodeIpBlocks({ ipBlock, ipBlocks }: AntreaGroupManifest['spec']): AntreaGroupObject['ipBlocks'] {
  if (ipBlock !== undefined && ipBlock !== null) return [decodeIpBlock(ipBlock, 'spec.ipBlock')];
  return (ipBlocks ?? NONE).map((block, index) => decodeIpBlock(block, `spec.ipBlocks[${index}]`));
}

function decodeChildGroups(names: readonly string[] | null | undefined, self: string): readonly string[] {
  const children = names ?? NONE;
  for (const [index, name] of children.entries()) {
    refuseIf(subdomainProblem(name, 'group name'), `spec.childGroups[${index}]`);
    if (name === self) throw refuse(`spec.childGroups[${index}]`, 'a group cannot be its own child');
  }
  checkUnique(children, 'child group', (index) => `spec.childGroups[${index}]`);
  return children;
}

export function decodeExternalEntity(manifest: ExternalEntityManifest): ExternalEntityObject {
  const endpoints = manifest.spec?.endpoints ?? NONE;
  const addresses = endpoints.map(({ ip }, index) => {
    if (ip === undefined || ip === null || ip === '') throw refuse(`spec.endpoints[${index}]`, 'the field ip is missing');
    return decodeHost(ip, `spec.endpoints[${index}].ip`);
  });
  const ports = (manifest.spec?.ports ?? NONE).flatMap(({ name, port, protocol }, index) => {
    // A port without a name cannot be named by a policy.
    if (name === undefined || name === null || name === '') return [];
    const path = `spec.ports[${index}]`;
    refuseIf(portNameProblem(name), `${path}.name`);
    if (port === undefined || port === null) throw refuse(path, 'the field port is missing');
    return [{ name, protocol: PROTOCOL_NUMBERS[protocol ?? 'TCP'], port: checkPort(port, path, 'port') }];
  });
  return { kind: 'ExternalEntity', metadata: decodeNamespacedMeta(manifest.metadata), addresses: [...new Set(addresses)], ports };
}

export function decodeEgress(manifest: EgressManifest): EgressObject {
  const { spec, status } = manifest;
  const egress: Draft<EgressObject> = { kind: 'Egress', metadata: decodeClusterMeta(manifest.metadata), appliedTo: {} };
  const podSelector = decodeOptionalSelector(spec.appliedTo?.podSelector, 'spec.appliedTo.podSelector');
  const namespaceSelector = decodeOptionalSelector(spec.appliedTo?.namespaceSelector, 'spec.appliedTo.namespaceSelector');
  egress.appliedTo = { ...(podSelector === undefined ? {} : { podSelector }), ...(namespaceSelector === undefined ? {} : { namespaceSelector }) };
  const address = only(spec.egressIP, spec.egressIPs, 'egressIP');
  const pool = only(spec.externalIPPool, spec.externalIPPools, 'externalIPPool');
  if (address === undefined && pool === undefined) throw refuse('spec', 'has no address; give egressIP or externalIPPool');
  if (address !== undefined) egress.egressIp = decodeHost(address.value, address.path);
  // The address that the pool gave.
  else if (status?.egressIP !== undefined && status.egressIP !== null && status.egressIP !== '') {
    egress.egressIp = decodeHost(status.egressIP, 'status.egressIP');
    egress.isGiven = true;
  }
  if (pool !== undefined) {
    refuseIf(subdomainProblem(pool.value), pool.path);
    egress.externalIpPool = pool.value;
  }
  if (spec.bandwidth !== undefined && spec.bandwidth !== null) {
    egress.bandwidth = { bitsPerSecond: bitsOf(spec.bandwidth.rate, 'spec.bandwidth.rate'), burstBits: bitsOf(spec.bandwidth.burst, 'spec.bandwidth.burst') };
  }
  return egress;
}

/** Of a Quantity. From 8 kbit, below which no packet of usual size goes. */
function bitsOf(quantity: string | number, path: string): number {
  const bits = quantityOf(String(quantity));
  if (bits === undefined) throw refuse(path, `${quote(String(quantity))} is no quantity; write 500k, 10M or 2G (bits)`);
  if (bits < MIN_BITS || bits > MAX_BITS) throw refuse(path, `must be ${MIN_BITS} to ${MAX_BITS} bits`);
  return bits;
}

/** The value of a field that also exists as a list. */
function only(value: string | null | undefined, values: readonly string[] | null | undefined, field: string): { readonly value: string; readonly path: string } | undefined {
  const listed = (values ?? NONE).filter((entry) => entry !== '');
  const single = value === undefined || value === null || value === '' ? undefined : value;
  if (single !== undefined && listed.length > 0) throw refuse(`spec.${field}s`, `cannot be combined with ${field}`);
  if (listed.length > 1) throw refuse(`spec.${field}s`, `several are not supported by this version; make an Egress for each`);
  const [first] = listed;
  if (single !== undefined) return { value: single, path: `spec.${field}` };
  return first === undefined ? undefined : { value: first, path: `spec.${field}s` };
}

export function decodeExternalIpPool(manifest: ExternalIpPoolManifest): ExternalIpPoolObject {
  return {
    kind: 'ExternalIPPool',
    metadata: decodeClusterMeta(manifest.metadata),
    ranges: manifest.spec.ipRanges.map((range, index) => decodeRange(range, `spec.ipRanges[${index}]`)),
    nodeSelector: decodeOptionalSelector(manifest.spec.nodeSelector, 'spec.nodeSelector') ?? EVERYTHING,
    ...(manifest.spec.subnetInfo === undefined || manifest.spec.subnetInfo === null ? {} : { ownSubnet: true }),
  };
}

function decodeRange({ cidr, start, end }: IpRangeManifest, path: string): string {
  const prefix = typeof cidr === 'string' && cidr !== '' ? cidr : undefined;
  const [first, last] = [start ?? '', end ?? ''];
  if (prefix !== undefined && first === '' && last === '') return decodePrefix(prefix, `${path}.cidr`);
  if (prefix !== undefined || first === '' || last === '') throw refuse(path, 'give either cidr, or start and end');
  const [from, to] = [decodeHost(first, `${path}.start`), decodeHost(last, `${path}.end`)];
  if (from.includes(':') !== to.includes(':')) throw refuse(path, 'start and end are of different families');
  return at(path, () => canonicalMember(`${from}-${to}`));
}
