/**
 * A cluster as Antrea's controller benchmark has it: every Namespace with four Pods (two of each of two scales) and three
 * NetworkPolicies that select one scale and admit the other. One node runs the Pods of some of them.
 */
import { addressText } from './policy.js';

export interface ClusterOptions {
  readonly namespaces: number;
  readonly localPods: number;
}

export const PODS_EACH = 4;
export const POLICIES_EACH = 3;
const FIRST_POD = 0x0a00_0000;

export function podManifest(namespace: number, index: number, address: number): unknown {
  const name = `ns-${namespace}`;
  return {
    apiVersion: 'v1', kind: 'Pod', metadata: { name: `pod-${index}`, namespace: name, labels: { 'app-1': `scale-${1 + (index % 2)}`, app: name } },
    spec: { nodeName: 'node-1', containers: [{ name: 'c', image: 'i' }] }, status: { podIP: addressText(address), podIPs: [{ ip: addressText(address) }] },
  };
}

export function podAddress(namespace: number, index: number): number {
  return FIRST_POD + namespace * PODS_EACH + index;
}

function policyManifest(namespace: number, index: number): unknown {
  const name = `ns-${namespace}`;
  return {
    apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: `np-${index}`, namespace: name },
    spec: {
      podSelector: { matchLabels: { 'app-1': 'scale-1' } }, policyTypes: ['Ingress', 'Egress'],
      ingress: [{ from: [{ podSelector: { matchLabels: { 'app-1': 'scale-2' } } }, { namespaceSelector: { matchLabels: { app: name } } }], ports: [{ protocol: 'TCP', port: 80 + index }] }],
      egress: [{ to: [{ podSelector: { matchLabels: { 'app-1': 'scale-2' } } }], ports: [{ protocol: 'TCP', port: 80 + index }] }],
    },
  };
}

export function* clusterManifests({ namespaces, localPods }: ClusterOptions): Generator<unknown> {
  for (let namespace = 0; namespace < namespaces; namespace += 1) {
    yield { apiVersion: 'v1', kind: 'Namespace', metadata: { name: `ns-${namespace}`, labels: { app: `ns-${namespace}` } } };
    for (let index = 0; index < PODS_EACH; index += 1) yield podManifest(namespace, index, podAddress(namespace, index));
    for (let index = 0; index < POLICIES_EACH; index += 1) yield policyManifest(namespace, index);
  }
  for (let pod = 0; pod < localPods; pod += 1) {
    yield {
      apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name: `local-${pod}` },
      spec: { workload: { kind: 'Pod', namespace: `ns-${Math.floor(pod / PODS_EACH)}`, name: `pod-${pod % PODS_EACH}` }, interface: `veth${pod}` },
    };
  }
}
