/** Rule tables and address sets as `vsipioctl getrules` and `getaddrsets` print them; the grammar is in docs/rules-format.md. */
import { printAddressSet, printRuleset } from '../../model/rules-print.js';
import type { AddressSetView, RulesetView } from '../../model/views.js';

export function rulesText(rulesets: readonly RulesetView[]): string {
  return rulesets.map((ruleset) => printRuleset(ruleset.name, ruleset.layer, ruleset.rules)).join('\n');
}

/** One line a rule, in evaluation order: hits, packets and bytes to (in) and from (out) the workload. */
export function ruleStatsText(rulesets: readonly RulesetView[]): string {
  return rulesets.flatMap((ruleset) => ruleset.rules.map((rule) => {
    const { evals, packets, bytes } = rule.stats ?? { evals: 0, packets: { in: 0, out: 0 }, bytes: { in: 0, out: 0 } };
    return `rule  ${rule.id}: ${evals} evals, in ${packets.in} out ${packets.out} pkts, in ${bytes.in} out ${bytes.out} bytes\n`;
  })).join('');
}

/** Set by set. */
export function* addressSetsText(sets: readonly AddressSetView[]): Generator<string> {
  for (const set of sets) yield printAddressSet(set.name, set.addresses);
}
