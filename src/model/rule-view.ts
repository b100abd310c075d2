/** Rules as answers show them: protocol and port texts instead of numbers, a position, nothing that is at its default. */
import type { AddressMatch, Layer2Rule, Rule } from './rule.js';
import type { RuleView, SideView } from './views.js';
import { ethertypeToText, protocolToText } from './protocols.js';
import { portRangeToText } from './rule-check.js';

/** `at` is the 1-based position in the ruleset. */
export function ruleToView(rule: Rule, at: number): RuleView {
  return {
    id: rule.id,
    at,
    direction: rule.direction,
    ...(rule.family === undefined ? {} : { family: rule.family === 4 ? 'inet' : 'inet6' }),
    protocol: protocolToText(rule.protocol),
    source: sideToView(rule.source),
    ...(rule.sourcePorts.length === 0 ? {} : { sourcePorts: rule.sourcePorts.map(portRangeToText) }),
    destination: sideToView(rule.destination),
    ...(rule.ports.length === 0 ? {} : { ports: rule.ports.map(portRangeToText) }),
    ...(rule.icmp === undefined ? {} : { icmp: { ...rule.icmp } }),
    action: rule.action,
    log: rule.log,
    ...(rule.tag === undefined ? {} : { tag: rule.tag }),
    ...(rule.stateless ? { stateless: true } : {}),
    ...(rule.policy === undefined ? {} : { policy: rule.policy }),
  };
}

export function layer2RuleToView(rule: Layer2Rule, at: number): RuleView {
  return {
    id: rule.id,
    at,
    direction: rule.direction,
    ethertype: ethertypeToText(rule.ethertype),
    source: sideToView(rule.source),
    destination: sideToView(rule.destination),
    action: rule.action,
    log: rule.log,
    ...(rule.tag === undefined ? {} : { tag: rule.tag }),
  };
}

export function sideToView(side: AddressMatch): SideView {
  if (side.addressSets.length === 0 && side.addresses.length === 0) return { any: true };
  return { not: side.not, addressSets: [...side.addressSets], addresses: [...side.addresses] };
}
