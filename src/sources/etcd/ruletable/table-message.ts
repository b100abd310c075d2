/** The spec of a RuleTable manifest ↔ the fields of message RuleTable. In messages, absent and empty are the same. */
import { fieldsOf } from '../../../model/identity.js';
import type { AddressSet } from '../../../model/rule.js';
import type { RuleTableObject } from '../../../model/objects.js';
import { addressesMessage, addressesOf } from './addresses.js';

type Fields = Readonly<Record<string, unknown>>;
const NONE: Fields = {};

/** Message → spec. Nothing is checked here but addresses that are bytes. @throws AgentError E_INVALID, E_LIMIT. */
export function tableManifest(message: Fields): object {
  const scope = fieldsOf(message['appliedTo']);
  const sets = listOf(message['addressSets']);
  return {
    ...(scope === undefined ? NONE : { appliedTo: scopeManifest(scope) }),
    ...(sets.length === 0 ? NONE : { addressSets: sets.map((set, index) => setManifest(set, `spec.addressSets[${index}].addresses`)) }),
    rules: listOf(message['rules']).map(ruleManifest),
    ...(listOf(message['layer2Rules']).length === 0 ? NONE : { layer2Rules: listOf(message['layer2Rules']).map(ruleManifest) }),
  };
}

/** The spec as encodeRuleTable has it, and what that leaves out → the fields of the message. */
export function tableMessage(spec: Fields, { appliedTo, addressSets }: Pick<RuleTableObject, 'appliedTo' | 'addressSets'>): object {
  return {
    ...(appliedTo === undefined ? NONE : { appliedTo: scopeMessage(appliedTo) }),
    addressSets: addressSets.map(({ name, addresses }: AddressSet) => ({ name, addresses: addressesMessage(addresses) })),
    rules: listOf(spec['rules']).map(ruleMessage),
    layer2Rules: listOf(spec['layer2Rules']).map(ruleMessage),
  };
}

/** Of both layers: fields that a layer does not have are not there. */
function ruleManifest(rule: Fields): object {
  const icmp = fieldsOf(rule['icmp']);
  const code = fieldsOf(icmp?.['code']);
  return {
    id: rule['id'] ?? 0,
    ...texts(rule, 'direction', 'family', 'protocol', 'ethertype'),
    ...side('source', rule),
    ...lists(rule, 'sourcePorts'),
    ...side('destination', rule),
    ...lists(rule, 'ports'),
    ...(icmp === undefined ? NONE : { icmp: { type: icmp['type'] ?? 0, ...(code === undefined ? NONE : { code: code['value'] ?? 0 }) } }),
    action: rule['action'] ?? '',
    ...(rule['log'] === true ? { log: true } : NONE),
    ...texts(rule, 'tag'),
    ...(rule['stateless'] === true ? { stateless: true } : NONE),
  };
}

function side(name: 'source' | 'destination', rule: Fields): object {
  const held = fieldsOf(rule[name]);
  if (held === undefined) return NONE;
  return { [name]: { ...(held['not'] === true ? { not: true } : NONE), ...lists(held, 'addressSets', 'addresses') } };
}

/** As the manifest has it, but for the code of ICMP, which may be 0. */
function ruleMessage(rule: Fields): object {
  const icmp = fieldsOf(rule['icmp']);
  if (icmp === undefined) return rule;
  return { ...rule, icmp: { type: icmp['type'], ...(icmp['code'] === undefined ? NONE : { code: { value: icmp['code'] } }) } };
}

function setManifest(set: Fields, path: string): object {
  const { hosts, others } = addressesOf(set['addresses'], path);
  return { name: set['name'] ?? '', addresses: others.length === 0 ? hosts : [...hosts, ...others] };
}

function scopeManifest(scope: Fields): object {
  const selector = fieldsOf(scope['selector']);
  const workloads = listOf(scope['workloads']);
  return {
    ...(workloads.length === 0 ? NONE : { workloads: workloads.map((workload) => ({ name: '', ...texts(workload, 'kind', 'namespace', 'name') })) }),
    ...(selector === undefined ? NONE : {
      selector: {
        ...(listOf(selector['matchLabels']).length === 0 ? NONE : { matchLabels: Object.fromEntries(listOf(selector['matchLabels']).map(({ name = '', value = '' }) => [String(name), value])) }),
        ...(listOf(selector['matchExpressions']).length === 0 ? NONE : {
          matchExpressions: listOf(selector['matchExpressions']).map((requirement) => ({ key: '', operator: '', ...texts(requirement, 'key', 'operator'), ...lists(requirement, 'values') })),
        }),
      },
    }),
  };
}

function scopeMessage({ workloads, selector }: NonNullable<RuleTableObject['appliedTo']>): object {
  return {
    workloads,
    ...(selector === undefined ? NONE : {
      selector: { matchLabels: Object.entries(selector.matchLabels).map(([name, value]) => ({ name, value })), matchExpressions: selector.matchExpressions },
    }),
  };
}

function texts(from: Fields, ...names: readonly string[]): Fields {
  return Object.fromEntries(names.flatMap((name) => (from[name] === undefined || from[name] === '' ? [] : [[name, from[name]]])));
}

function lists(from: Fields, ...names: readonly string[]): Fields {
  return Object.fromEntries(names.flatMap((name) => (Array.isArray(from[name]) && from[name].length > 0 ? [[name, from[name]]] : [])));
}

function listOf(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.map((entry: unknown) => fieldsOf(entry) ?? NONE) : [];
}
