/** Manifests of our own kinds as they look once their schema holds; own-schemas.ts checks exactly these shapes. */
import type { GroupExpression, GroupObjectType, SecurityCategory } from '../../model/policy-objects.js';
import type { SelectorManifest } from './selectors.js';

export interface ManifestMeta {
  readonly name: string;
  readonly namespace?: string | null;
  readonly labels?: Readonly<Record<string, string>> | null;
  readonly annotations?: Readonly<Record<string, string>> | null;
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
  readonly action: 'accept' | 'drop' | 'reject' | 'pass';
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
  readonly spec: { readonly node?: string; readonly workload: WorkloadManifest; readonly vnic?: string; readonly interface: string; readonly mac?: string; readonly addresses?: readonly string[] };
}

export interface SecurityEndpointManifest { readonly group?: string; readonly addresses?: readonly unknown[] }
export interface SecurityTargetManifest { readonly group?: string; readonly workload?: WorkloadManifest }
export interface SecurityServiceManifest {
  readonly protocol?: string | number;
  readonly ports?: readonly (string | number)[];
  readonly sourcePorts?: readonly (string | number)[];
  readonly icmpType?: number;
  readonly icmpCode?: number;
}
export interface SecurityRuleManifest {
  readonly name?: string;
  readonly id?: number;
  readonly sources?: readonly SecurityEndpointManifest[];
  readonly sourcesExcluded?: boolean;
  readonly destinations?: readonly SecurityEndpointManifest[];
  readonly destinationsExcluded?: boolean;
  readonly services?: readonly SecurityServiceManifest[];
  readonly action?: 'Allow' | 'Drop' | 'Reject' | 'Pass';
  readonly direction?: 'In' | 'Out' | 'InOut';
  readonly logged?: boolean;
  readonly tag?: string;
  readonly disabled?: boolean;
  readonly appliedTo?: readonly SecurityTargetManifest[];
}
export interface SecurityPolicyManifest {
  readonly metadata: ManifestMeta;
  readonly spec: {
    readonly category?: SecurityCategory;
    readonly sequence?: number;
    readonly disabled?: boolean;
    readonly appliedTo?: readonly SecurityTargetManifest[];
    readonly rules?: readonly SecurityRuleManifest[];
  };
}
export interface GroupExpressionManifest {
  readonly object: GroupObjectType;
  readonly key: GroupExpression['key'];
  readonly operator: GroupExpression['operator'];
  readonly value?: string;
  readonly values?: readonly string[];
}
export interface GroupManifest {
  readonly metadata: ManifestMeta;
  readonly spec: {
    readonly criteria?: readonly { readonly all: readonly GroupExpressionManifest[] }[];
    readonly addresses?: readonly unknown[];
    readonly workloads?: readonly WorkloadManifest[];
    readonly groups?: readonly string[];
  };
}
