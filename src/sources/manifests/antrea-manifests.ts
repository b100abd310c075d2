/** Manifests of Antrea's kinds as they look once their schema holds; antrea-schemas.ts checks exactly these shapes. */
import type { SignatureAction } from '../../model/signature.js';
import type { AntreaAction, NamespacedName } from '../../model/policy-objects.js';
import type { IpBlockManifest } from './addresses.js';
import type { ManifestMeta } from './own-manifests.js';
import type { PortManifest, ProtocolName } from './ports.js';
import type { OptionalSelector } from './selectors.js';

type Optional<T> = T | null | undefined;

export interface TierManifest { readonly metadata: ManifestMeta; readonly spec: { readonly priority: number; readonly description?: string | null } }

export interface AntreaTargetManifest {
  readonly podSelector?: OptionalSelector;
  readonly namespaceSelector?: OptionalSelector;
  readonly externalEntitySelector?: OptionalSelector;
  readonly nodeSelector?: OptionalSelector;
  readonly group?: string | null;
  readonly serviceAccount?: Optional<NamespacedName>;
  readonly service?: unknown;
}
export interface AntreaPeerManifest {
  readonly podSelector?: OptionalSelector;
  readonly namespaceSelector?: OptionalSelector;
  readonly externalEntitySelector?: OptionalSelector;
  readonly nodeSelector?: OptionalSelector;
  readonly ipBlock?: Optional<IpBlockManifest>;
  readonly group?: string | null;
  readonly serviceAccount?: Optional<NamespacedName>;
  readonly fqdn?: string | null;
  readonly namespaces?: Optional<{ readonly match?: 'Self' | null; readonly sameLabels?: readonly string[] | null }>;
  readonly scope?: 'Cluster' | 'ClusterSet' | null;
}
export interface AntreaProtocolManifest {
  readonly icmp?: Optional<{ readonly icmpType?: number | null; readonly icmpCode?: number | null }>;
  readonly igmp?: Optional<{ readonly igmpType?: number | null; readonly groupAddress?: string | null }>;
}
export interface PeerServiceManifest { readonly name: string; readonly namespace?: string | null; readonly scope?: 'Cluster' | 'ClusterSet' | null }
export interface AntreaRuleManifest {
  readonly action: AntreaAction;
  readonly ports?: Optional<readonly PortManifest[]>;
  readonly protocols?: Optional<readonly AntreaProtocolManifest[]>;
  readonly l7Protocols?: Optional<readonly unknown[]>;
  readonly from?: Optional<readonly AntreaPeerManifest[]>;
  readonly to?: Optional<readonly AntreaPeerManifest[]>;
  readonly toServices?: Optional<readonly PeerServiceManifest[]>;
  readonly name?: string | null;
  readonly enableLogging?: boolean | null;
  readonly logLabel?: string | null;
  readonly appliedTo?: Optional<readonly AntreaTargetManifest[]>;
}
export interface AntreaPolicyManifest {
  readonly metadata: ManifestMeta;
  readonly spec: {
    readonly tier?: string | null;
    readonly priority: number;
    readonly appliedTo?: Optional<readonly AntreaTargetManifest[]>;
    readonly ingress?: Optional<readonly AntreaRuleManifest[]>;
    readonly egress?: Optional<readonly AntreaRuleManifest[]>;
  };
}

export interface AntreaGroupManifest {
  readonly metadata: ManifestMeta;
  readonly spec: {
    readonly podSelector?: OptionalSelector;
    readonly namespaceSelector?: OptionalSelector;
    readonly externalEntitySelector?: OptionalSelector;
    readonly nodeSelector?: OptionalSelector;
    readonly ipBlock?: Optional<IpBlockManifest>;
    readonly ipBlocks?: Optional<readonly IpBlockManifest[]>;
    readonly serviceReference?: Optional<{ readonly name: string; readonly namespace?: string | null }>;
    readonly childGroups?: Optional<readonly string[]>;
  };
}
export interface ExternalEntityManifest {
  readonly metadata: ManifestMeta;
  readonly spec?: Optional<{
    readonly endpoints?: Optional<readonly { readonly ip?: string | null; readonly name?: string | null }[]>;
    readonly ports?: Optional<readonly { readonly protocol?: ProtocolName | null; readonly port?: number | null; readonly name?: string | null }[]>;
    readonly externalNode?: string | null;
  }>;
}
export interface EgressManifest {
  readonly metadata: ManifestMeta;
  readonly spec: {
    readonly appliedTo?: Optional<{ readonly podSelector?: OptionalSelector; readonly namespaceSelector?: OptionalSelector }>;
    readonly egressIP?: string | null;
    readonly egressIPs?: Optional<readonly string[]>;
    readonly externalIPPool?: string | null;
    readonly externalIPPools?: Optional<readonly string[]>;
    readonly bandwidth?: Optional<{ readonly rate: string | number; readonly burst: string | number }>;
  };
  readonly status?: Optional<{ readonly egressIP?: string | null }>;
}
export interface IpRangeManifest { readonly cidr?: string | null; readonly start?: string | null; readonly end?: string | null }
export interface ExternalIpPoolManifest {
  readonly metadata: ManifestMeta;
  readonly spec: { readonly ipRanges: readonly IpRangeManifest[]; readonly nodeSelector?: OptionalSelector; readonly subnetInfo?: unknown };
}

export interface TargetPortManifest {
  readonly ovsInternal?: { readonly name: string };
  readonly device?: { readonly name: string };
  readonly geneve?: UdpTunnelManifest;
  readonly vxlan?: UdpTunnelManifest;
  readonly gre?: { readonly remoteIP: string; readonly key?: number | null };
  readonly erspan?: {
    readonly remoteIP: string;
    readonly sessionID?: number | null;
    readonly version: number;
    readonly index?: number | null;
    readonly dir?: number | null;
    readonly hardwareID?: number | null;
  };
}
export interface UdpTunnelManifest { readonly remoteIP: string; readonly vni?: number | null; readonly destinationPort?: number | null }
export interface TrafficControlManifest {
  readonly metadata: ManifestMeta;
  readonly spec: {
    readonly appliedTo: TrafficAppliedToManifest;
    readonly direction: 'Ingress' | 'Egress' | 'Both';
    readonly action: 'Mirror' | 'Redirect';
    readonly targetPort: TargetPortManifest;
    readonly returnPort?: TargetPortManifest;
    readonly match?: TrafficMatchManifest;
    /** Not Antrea's, as the two that follow. */
    readonly sampling?: { readonly connections: number } | null;
    readonly rateLimit?: { readonly packetsPerSecond?: number | null; readonly bytesPerSecond?: number | null; readonly burst?: number | null } | null;
    readonly refused?: 'copied' | 'left-out' | null;
  };
}
/** The last two are not Antrea's. */
export interface TrafficAppliedToManifest {
  readonly podSelector?: OptionalSelector;
  readonly namespaceSelector?: OptionalSelector;
  readonly vmSelector?: OptionalSelector;
  readonly nodeSelector?: OptionalSelector;
}
/** Not Antrea's. */
export type TrafficMatchManifest = readonly { readonly protocol: string | number; readonly ports?: readonly (string | number)[] | null }[] | null;
export interface IdpsPolicyManifest {
  readonly metadata: ManifestMeta;
  readonly spec: {
    readonly appliedTo: TrafficAppliedToManifest;
    readonly direction?: 'Ingress' | 'Egress' | 'Both' | null;
    readonly mode?: 'detect' | 'prevent' | null;
    readonly onFailure?: 'bypass' | 'block' | null;
    readonly match?: TrafficMatchManifest;
    readonly signatures?: {
      readonly severities?: readonly number[] | null;
      readonly categories?: readonly string[] | null;
      readonly sids?: readonly number[] | null;
      readonly disabledSids?: readonly number[] | null;
      readonly overrides?: readonly { readonly sid: number; readonly action: SignatureAction }[] | null;
    } | null;
  };
}
