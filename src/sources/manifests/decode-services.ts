/** Service, EndpointSlice, Ingress and Gateway manifests → objects: what groups select by address. */
import type { EndpointSliceObject, GatewayObject, IngressObject, ServiceObject } from '../../model/policy-objects.js';
import type {
  EndpointSliceManifest, GatewayAddressManifest, GatewayManifest, IngressManifest, LoadBalancerManifest, ServiceManifest, ServicePortManifest,
} from './kubernetes-manifests.js';
import { decodeHosts } from './addresses.js';
import { NONE, type Draft } from './checks.js';
import { decodeNamespacedMeta } from './metadata.js';
import { PROTOCOL_NUMBERS } from './ports.js';

const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';

export function decodeService(manifest: ServiceManifest): ServiceObject {
  const spec = manifest.spec ?? {};
  const type = spec.type ?? 'ClusterIP';
  const selector = spec.selector ?? {};
  const service: Draft<ServiceObject> = {
    kind: 'Service',
    metadata: decodeNamespacedMeta(manifest.metadata),
    clusterIps: type === 'ExternalName' ? NONE : clusterIps(spec),
    externalIps: decodeHosts(spec.externalIPs, 'spec.externalIPs'),
    ingressIps: loadBalancerIps(manifest.status),
    type,
    ports: (spec.ports ?? NONE).map(decodeServicePort),
  };
  // An empty one selects nothing, unlike elsewhere.
  if (type !== 'ExternalName' && Object.keys(selector).length > 0) service.selector = { matchLabels: selector, matchExpressions: NONE };
  return service;
}

function clusterIps(spec: NonNullable<ServiceManifest['spec']>): readonly string[] {
  const { clusterIP, clusterIPs } = spec;
  const several = clusterIPs !== undefined && clusterIPs !== null && clusterIPs.length > 0;
  const given = several ? clusterIPs : clusterIP === undefined || clusterIP === null ? NONE : [clusterIP];
  return decodeHosts(given.filter((address) => address !== '' && address !== 'None'), several ? 'spec.clusterIPs' : 'spec.clusterIP');
}

function decodeServicePort({ name, protocol, port, targetPort, nodePort }: ServicePortManifest): ServiceObject['ports'][number] {
  const result: Draft<ServiceObject['ports'][number]> = { protocol: PROTOCOL_NUMBERS[protocol ?? 'TCP'], port };
  if (name !== undefined && name !== null && name !== '') result.name = name;
  if (targetPort !== undefined && targetPort !== null && targetPort !== 0 && targetPort !== '') result.targetPort = targetPort;
  if (nodePort !== undefined && nodePort !== null && nodePort !== 0) result.nodePort = nodePort;
  return result;
}

/** Balancers known by a host name alone have no address here. */
function loadBalancerIps(status: LoadBalancerManifest | null | undefined): readonly string[] {
  const addresses = (status?.loadBalancer?.ingress ?? NONE).flatMap(({ ip }) => (ip === undefined || ip === null || ip === '' ? [] : [ip]));
  return decodeHosts(addresses, 'status.loadBalancer.ingress');
}

/** Whether an endpoint is ready says nothing about what it is, so all of them count. */
export function decodeEndpointSlice(manifest: EndpointSliceManifest): EndpointSliceObject {
  const metadata = decodeNamespacedMeta(manifest.metadata);
  const service = metadata.labels[SERVICE_NAME_LABEL];
  const addresses = manifest.addressType === 'FQDN' ? [] : (manifest.endpoints ?? NONE).flatMap((endpoint) => endpoint.addresses ?? NONE);
  return { kind: 'EndpointSlice', metadata, ...(service === undefined ? {} : { service }), addresses: decodeHosts(addresses, 'endpoints') };
}

export function decodeIngress(manifest: IngressManifest): IngressObject {
  return { kind: 'Ingress', metadata: decodeNamespacedMeta(manifest.metadata), addresses: loadBalancerIps(manifest.status) };
}

export function decodeGateway(manifest: GatewayManifest): GatewayObject {
  const actual = gatewayIps(manifest.status?.addresses, 'status.addresses');
  return {
    kind: 'Gateway', metadata: decodeNamespacedMeta(manifest.metadata),
    addresses: actual.length > 0 ? actual : gatewayIps(manifest.spec?.addresses, 'spec.addresses'),
  };
}

function gatewayIps(addresses: readonly GatewayAddressManifest[] | null | undefined, path: string): readonly string[] {
  return decodeHosts((addresses ?? NONE).flatMap(({ type, value }) =>
    (type === undefined || type === null || type === 'IPAddress') && value !== undefined && value !== null && value !== '' ? [value] : []), path);
}
