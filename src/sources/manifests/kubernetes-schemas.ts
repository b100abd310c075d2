/** Schemas of Kubernetes' own kinds: of its inventory only the fields that are used are looked at; NetworkPolicy is closed. */
import { OPTIONAL_IP_BLOCK, OPTIONAL_STRING, PORT_NUMBER, SELECTOR, STRING, STRINGS, closed, governed, inventory, list, maybe, oneOf, open, part } from './schema-parts.js';

const PROTOCOL = maybe(oneOf('TCP', 'UDP', 'SCTP'));
const INTEGER = { type: 'integer' };

export const NAMESPACE = inventory({});
const CONTAINERS = list(open({
  restartPolicy: OPTIONAL_STRING, ports: list(open({ name: OPTIONAL_STRING, containerPort: PORT_NUMBER, protocol: PROTOCOL }, ['containerPort'])),
}));
export const POD = inventory({
  spec: maybe(open({
    nodeName: OPTIONAL_STRING, serviceAccountName: OPTIONAL_STRING, serviceAccount: OPTIONAL_STRING, hostNetwork: { type: ['boolean', 'null'] },
    containers: CONTAINERS, initContainers: CONTAINERS,
  })),
  status: maybe(open({ phase: OPTIONAL_STRING, podIP: OPTIONAL_STRING, podIPs: list(open({ ip: STRING }, ['ip'])) })),
});
export const NODE = inventory({
  spec: maybe(open({ podCIDR: OPTIONAL_STRING, podCIDRs: list(STRING) })),
  status: maybe(open({ addresses: list(open({ type: STRING, address: STRING }, ['type', 'address'])) })),
});

const LOAD_BALANCER = maybe(open({ loadBalancer: maybe(open({ ingress: list(open({ ip: OPTIONAL_STRING })) })) }));
export const SERVICE = inventory({
  spec: maybe(open({
    type: maybe(oneOf('ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName')), clusterIP: OPTIONAL_STRING, clusterIPs: maybe(STRINGS), externalIPs: maybe(STRINGS),
    selector: maybe({ type: 'object', additionalProperties: STRING }),
    ports: list(open({
      name: OPTIONAL_STRING, protocol: PROTOCOL, port: PORT_NUMBER, targetPort: { type: ['integer', 'string', 'null'] }, nodePort: { type: ['integer', 'null'] },
    }, ['port'])),
  })),
  status: LOAD_BALANCER,
});
export const ENDPOINT_SLICE = inventory({ addressType: STRING, endpoints: list(open({ addresses: maybe(STRINGS) })) }, ['addressType']);
export const INGRESS = inventory({ status: LOAD_BALANCER });
const GATEWAY_ADDRESSES = maybe(open({ addresses: list(open({ type: OPTIONAL_STRING, value: OPTIONAL_STRING })) }));
export const GATEWAY = inventory({ spec: GATEWAY_ADDRESSES, status: GATEWAY_ADDRESSES });

const PEERS = list(closed({ podSelector: SELECTOR, namespaceSelector: SELECTOR, ipBlock: OPTIONAL_IP_BLOCK }));
const PORTS = list(closed({ protocol: PROTOCOL, port: { type: ['integer', 'string', 'null'] }, endPort: maybe(INTEGER) }));
export const NETWORK_POLICY = governed(closed({
  podSelector: SELECTOR,
  policyTypes: list(oneOf('Ingress', 'Egress')),
  ingress: list(closed({ from: part('peers'), ports: part('ports') })),
  egress: list(closed({ to: part('peers'), ports: part('ports') })),
}, ['podSelector']), { peers: PEERS, ports: PORTS });
