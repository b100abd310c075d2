/** Manifests of Kubernetes' own kinds as they look once their schema holds; kubernetes-schemas.ts checks exactly these shapes. */
import type { IpBlockManifest } from './addresses.js';
import type { ManifestMeta } from './own-manifests.js';
import type { PortManifest, ProtocolName } from './ports.js';
import type { OptionalSelector } from './selectors.js';

type Optional<T> = T | null | undefined;

export interface NamespaceManifest { readonly metadata: ManifestMeta }
export interface ContainerManifest {
  readonly restartPolicy?: string | null;
  readonly ports?: readonly { readonly name?: string | null; readonly containerPort: number; readonly protocol?: ProtocolName | null }[] | null;
}
export interface PodManifest {
  readonly metadata: ManifestMeta;
  readonly spec?: {
    readonly nodeName?: string | null;
    readonly serviceAccountName?: string | null;
    readonly serviceAccount?: string | null;
    readonly hostNetwork?: boolean | null;
    readonly containers?: readonly ContainerManifest[] | null;
    readonly initContainers?: readonly ContainerManifest[] | null;
  } | null;
  readonly status?: { readonly phase?: string | null; readonly podIP?: string | null; readonly podIPs?: readonly { readonly ip: string }[] | null } | null;
}
export interface NodeManifest {
  readonly metadata: ManifestMeta;
  readonly spec?: { readonly podCIDR?: string | null; readonly podCIDRs?: readonly string[] | null } | null;
  readonly status?: { readonly addresses?: readonly { readonly type: string; readonly address: string }[] | null } | null;
}

export interface LoadBalancerManifest { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string | null }[] | null } | null }
export interface ServicePortManifest {
  readonly name?: string | null;
  readonly protocol?: ProtocolName | null;
  readonly port: number;
  readonly targetPort?: number | string | null;
  readonly nodePort?: number | null;
}
export interface ServiceManifest {
  readonly metadata: ManifestMeta;
  readonly spec?: {
    readonly type?: 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName' | null;
    readonly clusterIP?: string | null;
    readonly clusterIPs?: readonly string[] | null;
    readonly externalIPs?: readonly string[] | null;
    readonly selector?: Readonly<Record<string, string>> | null;
    readonly ports?: readonly ServicePortManifest[] | null;
  } | null;
  readonly status?: LoadBalancerManifest | null;
}
export interface EndpointSliceManifest {
  readonly metadata: ManifestMeta;
  readonly addressType: string;
  readonly endpoints?: readonly { readonly addresses?: readonly string[] | null }[] | null;
}
export interface IngressManifest { readonly metadata: ManifestMeta; readonly status?: LoadBalancerManifest | null }
export interface GatewayAddressManifest { readonly type?: string | null; readonly value?: string | null }
export interface GatewayManifest {
  readonly metadata: ManifestMeta;
  readonly spec?: { readonly addresses?: readonly GatewayAddressManifest[] | null } | null;
  readonly status?: { readonly addresses?: readonly GatewayAddressManifest[] | null } | null;
}

export interface NetworkPolicyPeerManifest {
  readonly podSelector?: OptionalSelector;
  readonly namespaceSelector?: OptionalSelector;
  readonly ipBlock?: Optional<IpBlockManifest>;
}
export interface NetworkPolicyRuleManifest {
  readonly from?: Optional<readonly NetworkPolicyPeerManifest[]>;
  readonly to?: Optional<readonly NetworkPolicyPeerManifest[]>;
  readonly ports?: Optional<readonly PortManifest[]>;
}
export interface NetworkPolicyManifest {
  readonly metadata: ManifestMeta;
  readonly spec: {
    readonly podSelector: OptionalSelector;
    readonly policyTypes?: Optional<readonly ('Ingress' | 'Egress')[]>;
    readonly ingress?: Optional<readonly NetworkPolicyRuleManifest[]>;
    readonly egress?: Optional<readonly NetworkPolicyRuleManifest[]>;
  };
}
