/**
 * Keys of a policy's rules: what their numeric ids hang on. A rule that a user named keeps its key whatever else changes; one
 * without a name is known by what it matches and does, so that moving it, or a rule before it, changes nothing.
 */
import { hash32 } from '../../model/text-hash.js';
import type { Peer, PolicyRule, Service, Target } from './ir.js';
import { memberSelectorKey, selectorKey } from './selector-key.js';

/** A rule before it has its key. */
export interface RuleDraft {
  readonly rule: Omit<PolicyRule, 'key'>;
  /** What the user called it; names that repeat are told apart. Absent = by content. */
  readonly name?: string;
  /** Has targets other than the policy's: they are part of what the rule is. */
  readonly ownTargets?: boolean;
}

/**
 * The rules in the same order, with keys: the name, else `<direction>-<8 hex digits>`; `#2` and so on for further ones of the same
 * name or content. Which of several gets which number depends on what they match, never on their order.
 */
export function keyRules(drafts: readonly RuleDraft[]): PolicyRule[] {
  const bases = new Map<string, { readonly index: number; readonly text: string }[]>();
  for (const [index, draft] of drafts.entries()) {
    const text = contentText(draft);
    const base = draft.name ?? `${draft.rule.direction}-${hash32(text).toString(16).padStart(8, '0')}`;
    const group = bases.get(base) ?? [];
    bases.set(base, group);
    group.push({ index, text });
  }
  const keys: string[] = [];
  for (const [base, group] of bases) {
    let number = 1;
    for (const [position, { index }] of group.sort((a, b) => compareTexts(a.text, b.text) || a.index - b.index).entries()) {
      if (position > 0) number = nextFree(base, number, bases);
      keys[index] = position === 0 ? base : `${base}#${number}`;
    }
  }
  return drafts.map(({ rule }, index) => ({ key: keys[index] ?? '', ...rule }));
}

/** A user may have written the name that a repeat would get. */
function nextFree(base: string, number: number, taken: ReadonlyMap<string, unknown>): number {
  let next = number + 1;
  while (taken.has(`${base}#${next}`)) next += 1;
  return next;
}

/** What a rule matches and does: not whether it logs, nor its position. Lists are sets here. */
function contentText({ rule, ownTargets }: RuleDraft): string {
  return JSON.stringify([
    rule.direction, rule.action,
    rule.sourcesExcluded, listText(rule.sources, peerText), rule.destinationsExcluded, listText(rule.destinations, peerText),
    listText(rule.services, serviceText), ownTargets === true ? listText(rule.targets, targetText) : '',
  ]);
}

function listText<T>(list: readonly T[] | 'any', textOf: (element: T) => string): readonly string[] | 'any' {
  return list === 'any' ? list : [...new Set(list.map(textOf))].sort();
}

function peerText(peer: Peer): string {
  if ('select' in peer) return memberSelectorKey(peer.select);
  if ('scope' in peer) return JSON.stringify(['scope', 'match' in peer.scope ? peer.scope.match : sorted(peer.scope.sameLabels), selectorKey(peer.podSelector)]);
  if ('ipBlock' in peer) return JSON.stringify(['ipBlock', peer.ipBlock.cidr, ...sorted(peer.ipBlock.except)]);
  if ('addresses' in peer) return JSON.stringify(['addresses', ...sorted(peer.addresses)]);
  if ('group' in peer) return JSON.stringify(['group', peer.group.kind, peer.group.namespace, peer.group.name]);
  if ('service' in peer) return JSON.stringify(['service', peer.service.namespace, peer.service.name]);
  return JSON.stringify(['fqdn', peer.fqdn]);
}

function serviceText(service: Service): string {
  if ('icmp' in service) return JSON.stringify([service.protocol, 'icmp', service.icmp.type, service.icmp.code]);
  const ports = 'namedPort' in service ? service.namedPort : rangesText(service.ports);
  return JSON.stringify([service.protocol, ports, rangesText(service.sourcePorts)]);
}

function targetText(target: Target): string {
  if ('select' in target) return memberSelectorKey(target.select);
  if ('group' in target) return JSON.stringify(['group', target.group.kind, target.group.namespace, target.group.name]);
  if ('workload' in target) return JSON.stringify(['workload', target.workload.kind, target.workload.namespace, target.workload.name]);
  return '*';
}

function rangesText(ranges: readonly { readonly first: number; readonly last: number }[]): number[][] {
  return ranges.map(({ first, last }) => [first, last]);
}

function sorted(texts: readonly string[]): string[] {
  return [...new Set(texts)].sort();
}

function compareTexts(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
