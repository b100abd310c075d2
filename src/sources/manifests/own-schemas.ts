/** Schemas of dfw.dev/v1. `addresses` of large lists is only known to be an array here. */
import { GROUP_OBJECTS } from '../../model/policy-objects.js';
import { BOOLEAN, BYTE, OWN_SELECTOR, STRING, STRINGS, closed, oneOf, own } from './schema-parts.js';

const WORKLOAD = closed({ kind: oneOf('Pod', 'VirtualMachine', 'Node'), namespace: STRING, name: STRING }, ['kind', 'name']);
const SIDE = closed({ not: BOOLEAN, addressSets: STRINGS, addresses: { type: 'array' } });
const RULE_ID = { type: 'integer', minimum: 1, maximum: 2 ** 31 - 1 };
const DIRECTION = oneOf('in', 'out', 'inout');
const PORTS = { type: 'array', items: { type: ['string', 'integer'] } };

const RULE = closed({
  id: RULE_ID, direction: DIRECTION, family: oneOf('inet', 'inet6'), protocol: { type: ['string', 'integer'] },
  source: SIDE, sourcePorts: PORTS, destination: SIDE, ports: PORTS, icmp: closed({ type: BYTE, code: BYTE }, ['type']),
  action: oneOf('accept', 'drop', 'reject', 'pass'), log: BOOLEAN, tag: STRING, stateless: BOOLEAN,
}, ['id', 'action']);
const LAYER2_RULE = closed({
  id: RULE_ID, direction: DIRECTION, ethertype: { type: ['string', 'integer'] }, source: SIDE, destination: SIDE,
  action: oneOf('accept', 'drop'), log: BOOLEAN, tag: STRING,
}, ['id', 'action']);

export const RULE_TABLE = own(closed({
  appliedTo: closed({ workloads: { type: 'array', items: WORKLOAD }, selector: OWN_SELECTOR }),
  addressSets: { type: 'array', items: closed({ name: STRING, addresses: { type: 'array' } }, ['name', 'addresses']) },
  rules: { type: 'array', items: RULE },
  layer2Rules: { type: 'array', items: LAYER2_RULE },
}));
export const ADDRESS_SET = own(closed({ addresses: { type: 'array' } }, ['addresses']));
export const VIRTUAL_MACHINE = own(closed({
  uuid: STRING, segment: STRING, nics: { type: 'array', items: closed({ name: STRING, mac: STRING, addresses: STRINGS }, ['name']) },
}), false);
export const ATTACHMENT = own(closed({ node: STRING, workload: WORKLOAD, vnic: STRING, interface: STRING, mac: STRING, addresses: STRINGS }, ['workload', 'interface']));


const TARGETS = { type: 'array', items: closed({ group: STRING, workload: WORKLOAD }) };
const ENDPOINTS = { type: 'array', items: closed({ group: STRING, addresses: { type: 'array' } }) };
const SECURITY_RULE = closed({
  name: STRING, id: RULE_ID, sources: ENDPOINTS, sourcesExcluded: BOOLEAN, destinations: ENDPOINTS, destinationsExcluded: BOOLEAN,
  services: {
    type: 'array', items: closed({ protocol: { type: ['string', 'integer'] }, ports: PORTS, sourcePorts: PORTS, icmpType: BYTE, icmpCode: BYTE }),
  },
  action: oneOf('Allow', 'Drop', 'Reject', 'Pass'), direction: oneOf('In', 'Out', 'InOut'), logged: BOOLEAN, tag: STRING, disabled: BOOLEAN, appliedTo: TARGETS,
});
export const SECURITY_POLICY = own(closed({
  category: oneOf('Ethernet', 'Emergency', 'Infrastructure', 'Environment', 'Application'), sequence: { type: 'integer', minimum: 0, maximum: 2 ** 31 - 1 },
  disabled: BOOLEAN, appliedTo: TARGETS, rules: { type: 'array', items: SECURITY_RULE },
}));
const EXPRESSION = closed({
  object: oneOf(...GROUP_OBJECTS), key: oneOf('Name', 'Tag', 'Label'),
  operator: oneOf('Equals', 'NotEquals', 'In', 'NotIn', 'Contains', 'StartsWith', 'EndsWith', 'Exists'), value: STRING, values: STRINGS,
}, ['object', 'key', 'operator']);
export const GROUP = own(closed({
  criteria: { type: 'array', items: closed({ all: { type: 'array', items: EXPRESSION } }, ['all']) },
  addresses: { type: 'array' }, workloads: { type: 'array', items: WORKLOAD }, groups: STRINGS,
}));
