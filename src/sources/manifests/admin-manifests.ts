/** Manifests of policy.networking.k8s.io as they look once their schema holds; admin-schemas.ts checks exactly these shapes. */
import type { ManifestMeta } from './own-manifests.js';
import type { ProtocolName } from './ports.js';
import type { OptionalSelector } from './selectors.js';

type Optional<T> = T | null | undefined;

export interface AdminSubjectManifest {
  readonly namespaces?: OptionalSelector;
  readonly pods?: Optional<{ readonly namespaceSelector?: OptionalSelector; readonly podSelector?: OptionalSelector }>;
}
export interface AdminPeerManifest extends AdminSubjectManifest {
  readonly nodes?: OptionalSelector;
  readonly networks?: Optional<readonly string[]>;
  readonly domainNames?: Optional<readonly string[]>;
}
export interface PortRangeManifest { readonly protocol?: ProtocolName | null; readonly start: number; readonly end: number }
/** AdminNetworkPolicy and BaselineAdminNetworkPolicy. */
export interface AdminPortManifest {
  readonly portNumber?: Optional<{ readonly protocol?: ProtocolName | null; readonly port: number }>;
  readonly namedPort?: string | null;
  readonly portRange?: Optional<PortRangeManifest>;
}
export interface DestinationManifest {
  readonly destinationPort?: Optional<{ readonly number?: number | null; readonly range?: Optional<PortRangeManifest> }>;
}
/** ClusterNetworkPolicy. */
export interface AdminProtocolManifest {
  readonly tcp?: Optional<DestinationManifest>;
  readonly udp?: Optional<DestinationManifest>;
  readonly sctp?: Optional<DestinationManifest>;
  readonly destinationNamedPort?: string | null;
}
export interface AdminRuleManifest {
  readonly name?: string | null;
  readonly action: 'Allow' | 'Accept' | 'Deny' | 'Pass';
  readonly from?: readonly AdminPeerManifest[];
  readonly to?: readonly AdminPeerManifest[];
  readonly ports?: Optional<readonly AdminPortManifest[]>;
  readonly protocols?: Optional<readonly AdminProtocolManifest[]>;
}
export interface AdminPolicyManifest {
  readonly metadata: ManifestMeta;
  readonly spec: {
    /** ClusterNetworkPolicy only. */
    readonly tier?: 'Admin' | 'Baseline';
    /** Not of a BaselineAdminNetworkPolicy. */
    readonly priority?: number;
    readonly subject: AdminSubjectManifest;
    readonly ingress?: Optional<readonly AdminRuleManifest[]>;
    readonly egress?: Optional<readonly AdminRuleManifest[]>;
  };
}
