import { describe, expect, it } from 'vitest';
import { accept, refuse } from '../../../support/decode.js';

const pod = (spec: object, status: object = {}, metadata: object = {}): unknown => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', ...metadata }, spec, status });
const LOGGING = 'networkpolicy.antrea.io/enable-logging';

describe('Pod', () => {
  it('has a service account, absent when it is the default one', () => {
    expect(accept('Pod', pod({ serviceAccountName: 'builder' })).serviceAccount).toBe('builder');
    expect(accept('Pod', pod({ serviceAccount: 'builder' })).serviceAccount).toBe('builder');
    expect(accept('Pod', pod({ serviceAccountName: 'builder', serviceAccount: 'old' })).serviceAccount).toBe('builder');
    for (const spec of [{ serviceAccountName: 'default' }, { serviceAccountName: '' }, {}]) expect(accept('Pod', pod(spec))).not.toHaveProperty('serviceAccount');
    expect(refuse(pod({ serviceAccountName: 'A b' })).path).toBe('spec.serviceAccountName');
  });

  it('on the host network has no address of its own', () => {
    expect(accept('Pod', pod({ hostNetwork: true }, { podIP: '192.0.2.1' }))).toMatchObject({ hostNetwork: true, addresses: [] });
    expect(accept('Pod', pod({ hostNetwork: false }, { podIP: '192.0.2.1' }))).not.toHaveProperty('hostNetwork');
  });

  it('has the named ports of containers and sidecars', () => {
    const ports = (name: string): object => ({ ports: [{ name, containerPort: 80 }, { containerPort: 81 }] });
    expect(accept('Pod', pod({
      containers: [ports('main'), {}], initContainers: [{ ...ports('sidecar'), restartPolicy: 'Always' }, ports('setup'), { ...ports('failing'), restartPolicy: 'OnFailure' }],
    })).ports).toEqual([{ name: 'main', protocol: 6, port: 80 }, { name: 'sidecar', protocol: 6, port: 80 }]);
  });

  it('takes what the API server sends for absent', () => {
    expect(accept('Pod', { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: '', labels: null, annotations: null }, spec: null, status: null }))
      .toEqual({ kind: 'Pod', metadata: { name: 'p', namespace: 'default', labels: {} }, addresses: [], ports: [] });
    expect(accept('Pod', pod({ nodeName: '', containers: null, initContainers: null }, { podIPs: null, podIP: null, phase: null }))).toMatchObject({ addresses: [], ports: [] });
  });

  it('keeps the annotation that turns on the log, and no other', () => {
    expect(accept('Pod', pod({}, {}, { annotations: { [LOGGING]: 'true', other: 'x' } })).metadata.annotations).toEqual({ [LOGGING]: 'true' });
    expect(accept('Pod', pod({}, {}, { annotations: { other: 'x' } })).metadata).not.toHaveProperty('annotations');
    expect(refuse(pod({}, {}, { annotations: { [LOGGING]: true } })).message).toContain('put it in quotes');
  });
});

describe('Namespace', () => {
  const namespace = (metadata: object): unknown => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', ...metadata }, spec: { finalizers: ['kubernetes'] } });
  it('carries its name as a label, whatever it says itself', () => {
    expect(accept('Namespace', namespace({})).metadata.labels).toEqual({ 'kubernetes.io/metadata.name': 'shop' });
    expect(accept('Namespace', namespace({ labels: { 'kubernetes.io/metadata.name': 'kube-system', a: 'b' } })).metadata.labels).toEqual({ 'kubernetes.io/metadata.name': 'shop', a: 'b' });
  });
  it('keeps the annotation that turns on the log', () => {
    expect(accept('Namespace', namespace({ annotations: { [LOGGING]: 'true' } })).metadata.annotations).toEqual({ [LOGGING]: 'true' });
  });
});

describe('Service', () => {
  const service = (spec: object | null | undefined, status?: object): unknown => ({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'svc' }, ...(spec === undefined ? {} : { spec }), status });
  it('has its addresses', () => {
    expect(accept('Service', service({
      type: 'LoadBalancer', clusterIP: '10.96.0.10', clusterIPs: ['10.96.0.10', 'FD00::A'], externalIPs: ['192.0.2.1'], selector: { app: 'web' }, sessionAffinity: 'None',
      ports: [{ name: 'http', port: 80, targetPort: 'web', nodePort: 30080 }, { port: 53, protocol: 'UDP', targetPort: 5353 }, { port: 7, protocol: 'SCTP', targetPort: 0, nodePort: 0 }],
    }, { loadBalancer: { ingress: [{ ip: '198.51.100.1', ipMode: 'VIP' }, { hostname: 'lb.example.com' }] } }))).toEqual({
      kind: 'Service', metadata: { name: 'svc', namespace: 'default', labels: {} }, type: 'LoadBalancer', clusterIps: ['10.96.0.10', 'fd00::a'], externalIps: ['192.0.2.1'], ingressIps: ['198.51.100.1'],
      selector: { matchLabels: { app: 'web' }, matchExpressions: [] },
      ports: [{ name: 'http', protocol: 6, port: 80, targetPort: 'web', nodePort: 30080 }, { protocol: 17, port: 53, targetPort: 5353 }, { protocol: 132, port: 7 }],
    });
  });
  it('may have none, and select nothing', () => {
    const none = { kind: 'Service', metadata: { name: 'svc', namespace: 'default', labels: {} }, type: 'ClusterIP', clusterIps: [], externalIps: [], ingressIps: [], ports: [] };
    for (const spec of [undefined, null, {}, { clusterIP: 'None' }, { clusterIPs: ['None'], clusterIP: 'None' }, { clusterIP: '', selector: {} }, { selector: null, ports: null, externalIPs: null }]) {
      expect(accept('Service', service(spec))).toEqual(none);
    }
    expect(accept('Service', service({ type: 'ExternalName', externalName: 'example.com', clusterIP: '10.96.0.10', selector: { a: 'b' } }))).toEqual({ ...none, type: 'ExternalName' });
  });
  it('is refused when what is used of it is wrong', () => {
    expect(refuse(service({ clusterIP: 'x' })).path).toBe('spec.clusterIP[0]');
    expect(refuse(service({ ports: [{ port: 0 }] })).path).toBe('spec.ports[0].port');
    expect(refuse(service({ type: 'Balancer' })).path).toBe('spec.type');
    expect(refuse(service({ selector: { a: 5 } })).path).toBe('spec.selector.a');
  });
});

describe('EndpointSlice, Ingress and Gateway', () => {
  it('have addresses', () => {
    const slice = (extra: object): unknown => ({
      apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name: 's', labels: { 'kubernetes.io/service-name': 'svc' } }, addressType: 'IPv4',
      endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready: false } }, { addresses: ['10.0.0.2', '10.0.0.1'] }], ports: [{}], ...extra,
    });
    expect(accept('EndpointSlice', slice({}))).toEqual({
      kind: 'EndpointSlice', metadata: { name: 's', namespace: 'default', labels: { 'kubernetes.io/service-name': 'svc' } }, service: 'svc', addresses: ['10.0.0.1', '10.0.0.2'],
    });
    expect(accept('EndpointSlice', slice({ addressType: 'FQDN', endpoints: [{ addresses: ['a.example.com'] }] })).addresses).toEqual([]);
    expect(accept('EndpointSlice', slice({ metadata: { name: 's' }, endpoints: null }))).toEqual({ kind: 'EndpointSlice', metadata: { name: 's', namespace: 'default', labels: {} }, addresses: [] });
    expect(refuse(slice({ endpoints: [{ addresses: ['x'] }] })).path).toBe('endpoints[0]');
    const ingress = { apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', metadata: { name: 'i' }, spec: { rules: [] } };
    expect(accept('Ingress', ingress).addresses).toEqual([]);
    expect(accept('Ingress', { ...ingress, status: { loadBalancer: { ingress: [{ ip: '198.51.100.2' }, { hostname: 'x' }] } } }).addresses).toEqual(['198.51.100.2']);
  });

  it.each(['v1', 'v1beta1'])('a Gateway of %s has the addresses it got, else those it asks for', (version) => {
    const gateway = (extra: object): unknown => ({ apiVersion: `gateway.networking.k8s.io/${version}`, kind: 'Gateway', metadata: { name: 'g' }, ...extra });
    const spec = { gatewayClassName: 'x', addresses: [{ value: '192.0.2.1' }, { type: 'Hostname', value: 'x.example.com' }, { type: 'IPAddress' }] };
    expect(accept('Gateway', gateway({ spec })).addresses).toEqual(['192.0.2.1']);
    expect(accept('Gateway', gateway({ spec, status: { addresses: [{ type: 'IPAddress', value: '192.0.2.2' }] } })).addresses).toEqual(['192.0.2.2']);
    expect(accept('Gateway', gateway({})).addresses).toEqual([]);
  });
});
