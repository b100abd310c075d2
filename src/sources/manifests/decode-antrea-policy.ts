/** ClusterNetworkPolicy and NetworkPolicy of crd.antrea.io → objects, refusing what Antrea's admission refuses. */
import type { AntreaPolicyObject, AntreaRule, TierObject } from '../../model/policy-objects.js';
import type { AntreaPolicyManifest, AntreaRuleManifest, TierManifest } from './antrea-manifests.js';
import { ruleNameProblem, subdomainProblem } from '../../model/names.js';
import { DEFAULT_TIER, tierProblem } from '../../model/tiers.js';
import { automaticRuleName } from './antrea-rule-names.js';
import { NONE, checkPolicyRules, checkUnique, refuse, refuseIf } from './checks.js';
import { decodeAntreaRule } from './decode-antrea-rule.js';
import { decodeTargets, scopeOf, type PolicyScope } from './decode-antrea-peers.js';
import { decodeClusterMeta, decodeNamespacedMeta } from './metadata.js';

export function decodeTier(manifest: TierManifest): TierObject {
  const { priority, description } = manifest.spec;
  const metadata = decodeClusterMeta(manifest.metadata);
  const problem = tierProblem(metadata.name, priority);
  if (problem !== undefined) throw refuse('spec.priority', problem);
  return { kind: 'Tier', metadata, priority, description: description ?? '' };
}

export function decodeAntreaClusterPolicy(manifest: AntreaPolicyManifest): AntreaPolicyObject {
  return decodePolicy(manifest, 'AntreaClusterNetworkPolicy');
}

export function decodeAntreaPolicy(manifest: AntreaPolicyManifest): AntreaPolicyObject {
  return decodePolicy(manifest, 'AntreaNetworkPolicy');
}

function decodePolicy(manifest: AntreaPolicyManifest, kind: AntreaPolicyObject['kind']): AntreaPolicyObject {
  const { spec } = manifest;
  const metadata = kind === 'AntreaNetworkPolicy' ? decodeNamespacedMeta(manifest.metadata) : decodeClusterMeta(manifest.metadata);
  const scope = scopeOf(metadata.namespace);
  const tier = spec.tier === undefined || spec.tier === null || spec.tier === '' ? DEFAULT_TIER : spec.tier.toLowerCase();
  refuseIf(subdomainProblem(tier, 'tier'), 'spec.tier');
  const ingress = spec.ingress ?? NONE;
  const egress = spec.egress ?? NONE;
  checkPolicyRules(ingress.length + egress.length);
  const targets = spec.appliedTo ?? NONE;
  checkAppliedTo(targets.length > 0, ingress, egress);
  const rules = [...decodeRules(ingress, 'ingress', scope), ...decodeRules(egress, 'egress', scope)];
  const place = (index: number): string =>
    (index < ingress.length ? `spec.ingress[${index}].name` : `spec.egress[${index - ingress.length}].name`);
  checkUnique(rules.map(({ name }, index) => (name === '' ? `\u0000${index}` : name)), 'rule name', place);
  const named = nameRules(rules, [...ingress, ...egress], ingress.length);
  return {
    kind,
    metadata,
    tier,
    priority: spec.priority,
    appliedTo: decodeTargets(targets, 'spec.appliedTo', scope),
    ingress: named.slice(0, ingress.length),
    egress: named.slice(ingress.length),
  };
}

/** Either the policy has targets, or every one of its rules has its own. */
function checkAppliedTo(onPolicy: boolean, ingress: readonly AntreaRuleManifest[], egress: readonly AntreaRuleManifest[]): void {
  const places = [...ingress.map((rule, index) => ({ rule, path: `spec.ingress[${index}].appliedTo` })), ...egress.map((rule, index) => ({ rule, path: `spec.egress[${index}].appliedTo` }))];
  const own = places.filter(({ rule }) => (rule.appliedTo ?? NONE).length > 0);
  const [first] = own;
  if (onPolicy) {
    if (first !== undefined) throw refuse(first.path, 'the policy has an appliedTo already; give it to the policy or to every rule, not both');
    return;
  }
  if (first === undefined) throw refuse('spec.appliedTo', 'says nothing; give appliedTo to the policy, or to every rule');
  const without = places.find(({ rule }) => (rule.appliedTo ?? NONE).length === 0);
  if (without !== undefined) throw refuse(without.path, `is missing: ${first.path} is there, so every rule needs its own`);
}

function decodeRules(rules: readonly AntreaRuleManifest[], direction: 'ingress' | 'egress', scope: PolicyScope): AntreaRule[] {
  return rules.map((rule, index) => {
    const path = `spec.${direction}[${index}]`;
    if (rule.name !== undefined && rule.name !== null && rule.name !== '') refuseIf(ruleNameProblem(rule.name), `${path}.name`);
    return decodeAntreaRule(rule, path, direction, scope);
  });
}

/** Gives the unnamed rules Antrea's names. Equal rules would share one; the later of them get a number besides. */
function nameRules(rules: readonly AntreaRule[], manifests: readonly AntreaRuleManifest[], ingressCount: number): AntreaRule[] {
  const taken = new Set(rules.map(({ name }) => name));
  return rules.map((rule, index) => {
    const manifest = manifests[index];
    if (rule.name !== '' || manifest === undefined) return rule;
    const automatic = automaticRuleName(manifest, index < ingressCount ? 'ingress' : 'egress');
    let name = automatic;
    for (let number = 2; taken.has(name); number++) name = `${automatic}-${number}`;
    taken.add(name);
    return { ...rule, name };
  });
}
