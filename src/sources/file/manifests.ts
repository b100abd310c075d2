/** Manifests as they look once their schema holds; schemas.ts checks exactly these shapes. */
export interface ManifestMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>> | null;
}
export interface SelectorManifest {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly { readonly key: string; readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'; readonly values?: readonly string[] }[];
}
export interface WorkloadManifest { readonly kind: 'Pod' | 'VirtualMachine' | 'Node'; readonly namespace?: string; readonly name: string }

export interface SideManifest { readonly not?: boolean; readonly addressSets?: readonly string[]; readonly addresses?: readonly unknown[] }
export interface RuleManifest {
  readonly id: number;
  readonly direction?: 'in' | 'out' | 'inout';
  readonly family?: 'inet' | 'inet6';
  readonly protocol?: string | number;
  readonly source?: SideManifest;
  readonly sourcePorts?: readonly (string | number)[];
  readonly destination?: SideManifest;
  readonly ports?: readonly (string | number)[];
  readonly icmp?: { readonly type: number; readonly code?: number };
  readonly action: 'accept' | 'drop' | 'reject';
  readonly log?: boolean;
  readonly tag?: string;
  readonly stateless?: boolean;
}
export interface Layer2RuleManifest {
  readonly id: number;
  readonly direction?: 'in' | 'out' | 'inout';
  readonly ethertype?: string | number;
  readonly source?: SideManifest;
  readonly destination?: SideManifest;
  readonly action: 'accept' | 'drop';
  readonly log?: boolean;
  readonly tag?: string;
}
export interface RuleTableManifest {
  readonly metadata: ManifestMeta;
  readonly spec: {
    readonly appliedTo?: { readonly workloads?: readonly WorkloadManifest[]; readonly selector?: SelectorManifest };
    readonly addressSets?: readonly { readonly name: string; readonly addresses: readonly unknown[] }[];
    readonly rules?: readonly RuleManifest[];
    readonly layer2Rules?: readonly Layer2RuleManifest[];
  };
}
export interface AddressSetManifest { readonly metadata: ManifestMeta; readonly spec: { readonly addresses: readonly unknown[] } }
export interface VirtualMachineManifest {
  readonly metadata: ManifestMeta;
  readonly spec?: {
    readonly uuid?: string;
    readonly segment?: string;
    readonly nics?: readonly { readonly name: string; readonly mac?: string; readonly addresses?: readonly string[] }[];
  };
}
export interface AttachmentManifest {
  readonly metadata: ManifestMeta;
  readonly spec: { readonly workload: WorkloadManifest; readonly vnic?: string; readonly interface: string; readonly mac?: string; readonly addresses?: readonly string[] };
}
export interface NamespaceManifest { readonly metadata: ManifestMeta }
export interface PodManifest {
  readonly metadata: ManifestMeta;
  readonly spec?: {
    readonly nodeName?: string;
    readonly containers?: readonly { readonly ports?: readonly { readonly name?: string; readonly containerPort: number; readonly protocol?: 'TCP' | 'UDP' | 'SCTP' }[] | null }[];
  };
  readonly status?: { readonly phase?: string; readonly podIP?: string; readonly podIPs?: readonly { readonly ip: string }[] | null };
}
export interface NodeManifest {
  readonly metadata: ManifestMeta;
  readonly status?: { readonly addresses?: readonly { readonly type: string; readonly address: string }[] | null };
}
export interface TargetPortManifest { readonly ovsInternal?: { readonly name: string }; readonly device?: { readonly name: string } }
export interface TrafficControlManifest {
  readonly metadata: ManifestMeta;
  readonly spec: {
    readonly appliedTo: { readonly podSelector?: SelectorManifest; readonly namespaceSelector?: SelectorManifest };
    readonly direction: 'Ingress' | 'Egress' | 'Both';
    readonly action: 'Mirror' | 'Redirect';
    readonly targetPort: TargetPortManifest;
    readonly returnPort?: TargetPortManifest;
  };
}
