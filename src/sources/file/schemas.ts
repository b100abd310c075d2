/**
 * One JSON schema per kind, compiled once per instance. Our own kinds and TrafficControl refuse unknown fields; Kubernetes'
 * own kinds ignore them. Schemas hold shapes only: what addresses, ports and names mean is checked by the decoders, which
 * read large lists themselves (`addresses` is only known to be an array here).
 */
import { Ajv, type ErrorObject, type SchemaObject } from 'ajv';
import type {
  AddressSetManifest, AttachmentManifest, NamespaceManifest, NodeManifest, PodManifest, RuleTableManifest, TrafficControlManifest, VirtualMachineManifest,
} from './manifests.js';

const STRING = { type: 'string' };
const BOOLEAN = { type: 'boolean' };
const STRINGS = { type: 'array', items: STRING };
const LABELS = { type: 'object', additionalProperties: STRING };
const BYTE = { type: 'integer', minimum: 0, maximum: 255 };

/** An object that holds the given fields and no others. */
function closed(properties: Readonly<Record<string, SchemaObject>>, required: readonly string[] = []): SchemaObject {
  return { type: 'object', properties, required: [...required], additionalProperties: false };
}

/** An object whose other fields are ignored. */
function open(properties: Readonly<Record<string, SchemaObject>>, required: readonly string[] = []): SchemaObject {
  return { type: 'object', properties, required: [...required] };
}

/** What an API server adds to any object's metadata; accepted, without effect. */
const SERVER_SIDE = {
  annotations: {}, uid: {}, resourceVersion: {}, generation: {}, creationTimestamp: {}, managedFields: {}, ownerReferences: {}, finalizers: {}, selfLink: {},
};
const OWN_META = closed({ name: STRING, labels: { ...LABELS, type: ['object', 'null'] }, ...SERVER_SIDE }, ['name']);
const KUBERNETES_META = open({ name: STRING, namespace: STRING, labels: { ...LABELS, type: ['object', 'null'] } }, ['name']);

function own(spec: SchemaObject, specRequired = true): SchemaObject {
  return closed(
    { apiVersion: STRING, kind: STRING, metadata: OWN_META, spec, status: {} }, specRequired ? ['metadata', 'spec'] : ['metadata'],
  );
}

const SELECTOR = closed({
  matchLabels: LABELS,
  matchExpressions: {
    type: 'array',
    items: closed({ key: STRING, operator: { type: 'string', enum: ['In', 'NotIn', 'Exists', 'DoesNotExist'] }, values: STRINGS }, ['key', 'operator']),
  },
});
const WORKLOAD = closed({ kind: { type: 'string', enum: ['Pod', 'VirtualMachine', 'Node'] }, namespace: STRING, name: STRING }, ['kind', 'name']);
const SIDE = closed({ not: BOOLEAN, addressSets: STRINGS, addresses: { type: 'array' } });
const RULE_ID = { type: 'integer', minimum: 1, maximum: 2 ** 31 - 1 };
const DIRECTION = { type: 'string', enum: ['in', 'out', 'inout'] };
const PORTS = { type: 'array', items: { type: ['string', 'integer'] } };

const RULE = closed({
  id: RULE_ID, direction: DIRECTION, family: { type: 'string', enum: ['inet', 'inet6'] }, protocol: { type: ['string', 'integer'] },
  source: SIDE, sourcePorts: PORTS, destination: SIDE, ports: PORTS, icmp: closed({ type: BYTE, code: BYTE }, ['type']),
  action: { type: 'string', enum: ['accept', 'drop', 'reject'] }, log: BOOLEAN, tag: STRING, stateless: BOOLEAN,
}, ['id', 'action']);
const LAYER2_RULE = closed({
  id: RULE_ID, direction: DIRECTION, ethertype: { type: ['string', 'integer'] }, source: SIDE, destination: SIDE,
  action: { type: 'string', enum: ['accept', 'drop'] }, log: BOOLEAN, tag: STRING,
}, ['id', 'action']);

const RULE_TABLE = own(closed({
  appliedTo: closed({ workloads: { type: 'array', items: WORKLOAD }, selector: SELECTOR }),
  addressSets: { type: 'array', items: closed({ name: STRING, addresses: { type: 'array' } }, ['name', 'addresses']) },
  rules: { type: 'array', items: RULE },
  layer2Rules: { type: 'array', items: LAYER2_RULE },
}));
const ADDRESS_SET = own(closed({ addresses: { type: 'array' } }, ['addresses']));
const VIRTUAL_MACHINE = own(closed({
  uuid: STRING, segment: STRING, nics: { type: 'array', items: closed({ name: STRING, mac: STRING, addresses: STRINGS }, ['name']) },
}), false);
const ATTACHMENT = own(closed({ workload: WORKLOAD, vnic: STRING, interface: STRING, mac: STRING, addresses: STRINGS }, ['workload', 'interface']));

const NAMESPACE = open({ metadata: KUBERNETES_META }, ['metadata']);
const PORT_NUMBER = { type: 'integer', minimum: 1, maximum: 65_535 };
const POD = open({
  metadata: KUBERNETES_META,
  spec: open({
    nodeName: STRING,
    containers: {
      type: 'array',
      items: open({
        ports: {
          type: ['array', 'null'],
          items: open({ name: STRING, containerPort: PORT_NUMBER, protocol: { type: 'string', enum: ['TCP', 'UDP', 'SCTP'] } }, ['containerPort']),
        },
      }),
    },
  }),
  status: open({ phase: STRING, podIP: STRING, podIPs: { type: ['array', 'null'], items: open({ ip: STRING }, ['ip']) } }),
}, ['metadata']);
const NODE = open({
  metadata: KUBERNETES_META,
  status: open({ addresses: { type: ['array', 'null'], items: open({ type: STRING, address: STRING }, ['type', 'address']) } }),
}, ['metadata']);

/** Tunnels are part of Antrea's API, so their fields are known here and refused by the decoder with a reason. */
const NAMED = closed({ name: STRING }, ['name']);
const TARGET_PORT = closed({ ovsInternal: NAMED, device: NAMED, geneve: {}, vxlan: {}, gre: {}, erspan: {} });
const TRAFFIC_CONTROL = own(closed({
  appliedTo: closed({ podSelector: SELECTOR, namespaceSelector: SELECTOR }),
  direction: { type: 'string', enum: ['Ingress', 'Egress', 'Both'] },
  action: { type: 'string', enum: ['Mirror', 'Redirect'] },
  targetPort: TARGET_PORT, returnPort: TARGET_PORT,
}, ['appliedTo', 'direction', 'action', 'targetPort']));

export interface Check<T> {
  (document: unknown): document is T;
  errors?: null | ErrorObject[];
}

export interface Schemas {
  readonly ruleTable: Check<RuleTableManifest>;
  readonly addressSet: Check<AddressSetManifest>;
  readonly virtualMachine: Check<VirtualMachineManifest>;
  readonly attachment: Check<AttachmentManifest>;
  readonly namespace: Check<NamespaceManifest>;
  readonly pod: Check<PodManifest>;
  readonly node: Check<NodeManifest>;
  readonly trafficControl: Check<TrafficControlManifest>;
}

export function compileSchemas(): Schemas {
  const ajv = new Ajv({ allErrors: true, verbose: true, strict: true, allowUnionTypes: true });
  return {
    ruleTable: ajv.compile<RuleTableManifest>(RULE_TABLE),
    addressSet: ajv.compile<AddressSetManifest>(ADDRESS_SET),
    virtualMachine: ajv.compile<VirtualMachineManifest>(VIRTUAL_MACHINE),
    attachment: ajv.compile<AttachmentManifest>(ATTACHMENT),
    namespace: ajv.compile<NamespaceManifest>(NAMESPACE),
    pod: ajv.compile<PodManifest>(POD),
    node: ajv.compile<NodeManifest>(NODE),
    trafficControl: ajv.compile<TrafficControlManifest>(TRAFFIC_CONTROL),
  };
}
