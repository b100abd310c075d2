/** Policy manifests in short; what a spec holds is written out where it is used. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec?: unknown;
  readonly status?: unknown;
}
type Spec = Readonly<Record<string, unknown>>;

const made = (apiVersion: string, kind: string, metadata: Manifest['metadata'], spec: Spec): Manifest => ({ apiVersion, kind, metadata, spec });

/** Antrea's ClusterNetworkPolicy; priority 1 where the spec has none. */
export const acnp = (name: string, spec: Spec): Manifest => made('crd.antrea.io/v1beta1', 'ClusterNetworkPolicy', { name }, { priority: 1, ...spec });
/** Antrea's NetworkPolicy; priority 1 where the spec has none. */
export const annp = (namespace: string, name: string, spec: Spec): Manifest => made('crd.antrea.io/v1beta1', 'NetworkPolicy', { name, namespace }, { priority: 1, ...spec });
export const networkPolicy = (namespace: string, name: string, spec: Spec): Manifest => made('networking.k8s.io/v1', 'NetworkPolicy', { name, namespace }, spec);
export const tier = (name: string, priority: number): Manifest => made('crd.antrea.io/v1beta1', 'Tier', { name }, { priority, description: name });
export const clusterGroup = (name: string, spec: Spec): Manifest => made('crd.antrea.io/v1beta1', 'ClusterGroup', { name }, spec);
export const group = (namespace: string, name: string, spec: Spec): Manifest => made('crd.antrea.io/v1beta1', 'Group', { name, namespace }, spec);

/** A Service of TCP ports; with addresses a ClusterIP one, else headless. */
export function service(namespace: string, name: string, selector: Readonly<Record<string, string>>, ports: readonly number[], clusterIPs: readonly string[] = ['None']): Manifest {
  return {
    apiVersion: 'v1', kind: 'Service', metadata: { name, namespace },
    spec: { type: 'ClusterIP', selector, clusterIP: clusterIPs[0], clusterIPs, ports: ports.map((number) => ({ name: `port-${number}`, protocol: 'TCP', port: number, targetPort: number })) },
  };
}

/** Refuses, for every pod of the namespace, what no NetworkPolicy allows. */
export const denyAll = (namespace: string, ...policyTypes: readonly ('Ingress' | 'Egress')[]): Manifest =>
  networkPolicy(namespace, 'default-deny', { podSelector: {}, policyTypes: policyTypes.length === 0 ? ['Ingress', 'Egress'] : policyTypes });

export const labels = (matchLabels: Readonly<Record<string, string>>): Spec => ({ matchLabels });
/** Selector of pods of the cluster world by their name, in any namespace or in one. */
export const pods = (pod: string, namespace?: string): Spec => ({
  podSelector: labels({ pod }), ...(namespace === undefined ? {} : { namespaceSelector: labels({ ns: namespace }) }),
});
/** All pods of a namespace of the cluster world. */
export const namespace = (ns: string): Spec => ({ namespaceSelector: labels({ ns }) });
export const port = (number: number | string, protocol = 'TCP', more: Spec = {}): Spec => ({ protocol, port: number, ...more });
