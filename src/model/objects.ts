/** Desired-state objects, as validated from manifests. Plain immutable values; references are by name and may dangle. */
import type { LabelSelector, ObjectMeta } from './metadata.js';
import type { PolicyInputObject } from './policy-objects.js';
import type { AddressSet, Layer2Rule, PortRange, Rule } from './rule.js';
import type { SignatureSelection } from './signature.js';

export type { LabelRequirement, LabelSelector, ObjectMeta } from './metadata.js';

export type WorkloadKind = 'Pod' | 'VirtualMachine' | 'Node';
export interface WorkloadReference {
  readonly kind: WorkloadKind;
  readonly namespace?: string; // Pods only
  readonly name: string;
}

export interface NamespaceObject { readonly kind: 'Namespace'; readonly metadata: ObjectMeta }
export interface PodObject {
  readonly kind: 'Pod';
  readonly metadata: ObjectMeta;
  readonly nodeName?: string;
  /** Absent = `default`. */
  readonly serviceAccount?: string;
  /** Shares its node's network: it has no addresses of its own, and no policy selects it. */
  readonly hostNetwork?: true;
  /** status.podIPs (or podIP), canonical; empty while the pod has none. */
  readonly addresses: readonly string[];
  /** Named container ports. */
  readonly ports: readonly { readonly name: string; readonly protocol: number; readonly port: number }[];
}
export interface NodeObject {
  readonly kind: 'Node';
  readonly metadata: ObjectMeta;
  readonly addresses: readonly string[];
  /** spec.podCIDRs (or podCIDR), canonical. Absent: it says none. */
  readonly podCidrs?: readonly string[];
}
export interface VirtualMachineNic { readonly name: string; readonly mac?: string; readonly addresses: readonly string[] }
export interface VirtualMachineObject {
  readonly kind: 'VirtualMachine';
  readonly metadata: ObjectMeta;
  readonly uuid?: string;
  readonly segment?: string;
  readonly nics: readonly VirtualMachineNic[];
}
export interface AttachmentObject {
  readonly kind: 'Attachment';
  readonly metadata: ObjectMeta;
  /** The host whose interface it names. Absent: whichever reads it. */
  readonly node?: string;
  readonly workload: WorkloadReference;
  readonly vnic: string;
  readonly interface: string;
  readonly mac?: string;
  readonly addresses: readonly string[];
  /** Of a pod that may begin before its object is known: until its policies can be told, what rule tables leave open is closed. */
  readonly early?: true;
}
export interface AppliedTo {
  readonly workloads: readonly WorkloadReference[];
  readonly selector?: LabelSelector;
}
export interface RuleTableObject {
  readonly kind: 'RuleTable';
  readonly metadata: ObjectMeta;
  /** Absent = every filter of the host. With both a list and a selector, either suffices. */
  readonly appliedTo?: AppliedTo;
  /** Visible to this table only; shadow AddressSet objects of the same name. */
  readonly addressSets: readonly AddressSet[];
  readonly rules: readonly Rule[];
  readonly layer2Rules: readonly Layer2Rule[];
}
export interface AddressSetObject { readonly kind: 'AddressSet'; readonly metadata: ObjectMeta; readonly addresses: readonly string[] }
export interface TrafficControlObject {
  readonly kind: 'TrafficControl';
  readonly metadata: ObjectMeta;
  readonly appliedTo: TrafficAppliedTo;
  readonly direction: 'Ingress' | 'Egress' | 'Both';
  readonly action: 'Mirror' | 'Redirect';
  readonly target: TrafficTarget;
  /** Redirect: where the traffic comes back. */
  readonly returnPort?: TrafficTarget;
  /** Only packets of one of these; absent: all. */
  readonly match?: readonly TrafficMatch[];
  /** Mirror: one connection in so many, 2..65536; absent: all. */
  readonly sampling?: number;
  /** Mirror: copies above it are not made. The traffic itself is never slowed. */
  readonly rateLimit?: CopyRateLimit;
  /** Mirror: are packets copied that rules refuse? Absent: as far as the datapath sees them. */
  readonly refused?: 'copied' | 'left-out';
  /** Made for an IDPSPolicy of the same name. */
  readonly inspection?: Pick<IdpsPolicyObject, 'mode' | 'onFailure'>;
}

/** Of all copies that a TrafficControl makes on this host together. One of the two rates at least. */
export interface CopyRateLimit {
  readonly packetsPerSecond?: number;
  readonly bytesPerSecond?: number;
  /** Packets that may come at once, with packetsPerSecond; default: those of a second. Of bytes: always those of a second. */
  readonly burst?: number;
}

/** Packets of an IP protocol; with ports, one of whose ports is among them, whichever end's: both directions of a connection match. */
export interface TrafficMatch {
  readonly protocol: number;
  /** Sorted, disjoint; empty = all. */
  readonly ports: readonly PortRange[];
}

/** Each selector picks workloads of its kind; those of pods must both match. None selects nothing, an empty one everything of its kind. */
export interface TrafficAppliedTo {
  readonly podSelector?: LabelSelector;
  readonly namespaceSelector?: LabelSelector;
  readonly vmSelector?: LabelSelector;
  readonly nodeSelector?: LabelSelector;
}

/** Workloads whose traffic the engine inspects. */
export interface IdpsPolicyObject {
  readonly kind: 'IDPSPolicy';
  readonly metadata: ObjectMeta;
  readonly appliedTo: TrafficAppliedTo;
  readonly direction: TrafficControlObject['direction'];
  /** detect: the engine gets copies. prevent: the traffic passes through it, and a signature that drops ends it. */
  readonly mode: 'detect' | 'prevent';
  /** prevent, while the engine is not there: pass uninspected, or not at all. */
  readonly onFailure: 'bypass' | 'block';
  readonly match?: readonly TrafficMatch[];
  readonly signatures: SignatureSelection;
}

/** Where copies, or the traffic itself, go. */
export interface TrafficTarget {
  /** `device`: an interface of the host; `internal`: a port that the switch makes; tunnels: to another host. */
  readonly type: 'device' | 'internal' | 'geneve' | 'vxlan' | 'gre' | 'erspan';
  /** Interface; of a tunnel: the name that its port gets, the same for the same tunnel. */
  readonly name: string;
  /** Of tunnels, as Open vSwitch names them: remote_ip, key, dst_port, erspan_ver ... */
  readonly options: Readonly<Record<string, string>>;
}

export type DesiredObject =
  | NamespaceObject | PodObject | NodeObject | VirtualMachineObject | AttachmentObject
  | RuleTableObject | AddressSetObject | TrafficControlObject | IdpsPolicyObject | PolicyInputObject;
export type ObjectKind = DesiredObject['kind'];

/** "Kind/name" or "Kind/namespace/name". */
export function objectKey(object: { readonly kind: string; readonly metadata: Pick<ObjectMeta, 'name' | 'namespace'> }): string {
  const { name, namespace } = object.metadata;
  return namespace === undefined ? `${object.kind}/${name}` : `${object.kind}/${namespace}/${name}`;
}
