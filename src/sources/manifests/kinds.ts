/** Every kind of manifest that this version reads. */
import {
  ADMIN_NETWORK_POLICY, BASELINE_ADMIN_NETWORK_POLICY, CLUSTER_NETWORK_POLICY,
} from './admin-schemas.js';
import { ANTREA_GROUP, ANTREA_POLICY, EGRESS, EXTERNAL_ENTITY, EXTERNAL_IP_POOL, IDPS_POLICY, TIER, TRAFFIC_CONTROL } from './antrea-schemas.js';
import { decodeAdminNetworkPolicy, decodeBaselineAdminNetworkPolicy, decodeClusterNetworkPolicy } from './decode-admin-policy.js';
import { decodeAntreaGroup, decodeClusterGroup, decodeEgress, decodeExternalEntity, decodeExternalIpPool } from './decode-antrea-groups.js';
import { decodeAntreaClusterPolicy, decodeAntreaPolicy, decodeTier } from './decode-antrea-policy.js';
import { decodeGroup } from './decode-group.js';
import { decodeNamespaceObject, decodeNode, decodePod } from './decode-kubernetes.js';
import { decodeNetworkPolicy } from './decode-network-policy.js';
import { decodeAddressSet, decodeRuleTable } from './decode-rules.js';
import { decodeSecurityPolicy } from './decode-security-policy.js';
import { decodeEndpointSlice, decodeGateway, decodeIngress, decodeService } from './decode-services.js';
import { decodeIdpsPolicy } from './decode-idps-policy.js';
import { decodeTrafficControl } from './decode-traffic-control.js';
import { decodeAttachment, decodeVirtualMachine } from './decode-workloads.js';
import { kindDecoder, type KindDecoder } from './kind-decoder.js';
import { ENDPOINT_SLICE, GATEWAY, INGRESS, NAMESPACE, NETWORK_POLICY, NODE, POD, SERVICE } from './kubernetes-schemas.js';
import { ADDRESS_SET, ATTACHMENT, GROUP, RULE_TABLE, SECURITY_POLICY, VIRTUAL_MACHINE } from './own-schemas.js';

export const OWN_API_VERSION = 'dfw.dev/v1';
const OWN = [OWN_API_VERSION];
/** Policies and tiers: before 1.0 in a group of their own. */
const ANTREA_POLICIES = ['crd.antrea.io/v1beta1', 'crd.antrea.io/v1alpha1', 'security.antrea.tanzu.vmware.com/v1alpha1'];

export const KIND_DECODERS: readonly KindDecoder[] = [
  kindDecoder(OWN, 'RuleTable', RULE_TABLE, decodeRuleTable),
  kindDecoder(OWN, 'AddressSet', ADDRESS_SET, decodeAddressSet),
  kindDecoder(OWN, 'SecurityPolicy', SECURITY_POLICY, decodeSecurityPolicy),
  kindDecoder(OWN, 'Group', GROUP, decodeGroup),
  kindDecoder(OWN, 'VirtualMachine', VIRTUAL_MACHINE, decodeVirtualMachine),
  kindDecoder(OWN, 'Attachment', ATTACHMENT, decodeAttachment),
  kindDecoder(['v1'], 'Pod', POD, decodePod),
  kindDecoder(['v1'], 'Namespace', NAMESPACE, decodeNamespaceObject),
  kindDecoder(['v1'], 'Node', NODE, decodeNode),
  kindDecoder(['v1'], 'Service', SERVICE, decodeService),
  kindDecoder(['discovery.k8s.io/v1'], 'EndpointSlice', ENDPOINT_SLICE, decodeEndpointSlice),
  kindDecoder(['networking.k8s.io/v1'], 'NetworkPolicy', NETWORK_POLICY, decodeNetworkPolicy),
  kindDecoder(['networking.k8s.io/v1'], 'Ingress', INGRESS, decodeIngress),
  kindDecoder(['gateway.networking.k8s.io/v1', 'gateway.networking.k8s.io/v1beta1'], 'Gateway', GATEWAY, decodeGateway),
  kindDecoder(['policy.networking.k8s.io/v1alpha2'], 'ClusterNetworkPolicy', CLUSTER_NETWORK_POLICY, decodeClusterNetworkPolicy),
  kindDecoder(['policy.networking.k8s.io/v1alpha1'], 'AdminNetworkPolicy', ADMIN_NETWORK_POLICY, decodeAdminNetworkPolicy),
  kindDecoder(['policy.networking.k8s.io/v1alpha1'], 'BaselineAdminNetworkPolicy', BASELINE_ADMIN_NETWORK_POLICY, decodeBaselineAdminNetworkPolicy),
  kindDecoder(ANTREA_POLICIES, 'Tier', TIER, decodeTier),
  kindDecoder(ANTREA_POLICIES, 'ClusterNetworkPolicy', ANTREA_POLICY, decodeAntreaClusterPolicy),
  kindDecoder(ANTREA_POLICIES, 'NetworkPolicy', ANTREA_POLICY, decodeAntreaPolicy),
  kindDecoder(['crd.antrea.io/v1beta1', 'crd.antrea.io/v1alpha3', 'crd.antrea.io/v1alpha2'], 'ClusterGroup', ANTREA_GROUP, decodeClusterGroup),
  kindDecoder(['crd.antrea.io/v1beta1', 'crd.antrea.io/v1alpha3'], 'Group', ANTREA_GROUP, decodeAntreaGroup),
  kindDecoder(['crd.antrea.io/v1alpha2'], 'ExternalEntity', EXTERNAL_ENTITY, decodeExternalEntity),
  kindDecoder(['crd.antrea.io/v1beta1', 'crd.antrea.io/v1alpha2'], 'Egress', EGRESS, decodeEgress),
  kindDecoder(['crd.antrea.io/v1beta1', 'crd.antrea.io/v1alpha2'], 'ExternalIPPool', EXTERNAL_IP_POOL, decodeExternalIpPool),
  kindDecoder(['crd.antrea.io/v1alpha2'], 'TrafficControl', TRAFFIC_CONTROL, decodeTrafficControl),
  kindDecoder(['crd.antrea.io/v1alpha2', 'crd.antrea.io/v1alpha1'], 'IDPSPolicy', IDPS_POLICY, decodeIdpsPolicy),
];
