/** What a change would do, for each group of filters where it would do the same. */
import { printRule } from '../../model/rules-print.js';
import type { DiffView } from '../../model/views.js';
import { changesText } from './changes.js';
import { flowLine } from './flows.js';
import type { Palette } from './palette.js';
import { printable } from './printable.js';

/** Members of a set that are listed; the rest is counted. */
const MEMBERS_SHOWN = 8;

/** `suffix` follows each object that would change. Errors are the caller's to say. */
export function diffText(view: DiffView, palette: Palette, suffix = ''): string {
  const blocks = [...byFilters(view, palette)].map(([filters, lines]) => `${filters}:\n${lines.map((line) => `  ${line}\n`).join('')}`);
  const { added, removed } = view.filters;
  const parts = [
    changesText(view.changes, suffix),
    [...added.map((name) => palette.good(`+ filter ${printable(name)}`)), ...removed.map((name) => palette.bad(`- filter ${printable(name)}`))].map((line) => `${line}\n`).join(''),
    blocks.length === 0 ? 'no rule and no address set of this host changes\n' : blocks.join('\n'),
    flowsText(view, palette),
  ];
  return parts.filter((part) => part !== '').join('\n');
}

function flowsText({ flowsCut, flowsComplete }: DiffView, palette: Palette): string {
  const more = flowsComplete ? '' : ' at least; more than that are not looked at';
  if (flowsCut.length === 0) return flowsComplete ? 'no connection is cut\n' : `connections cut: 0${more}\n`;
  return `${palette.bad(`connections cut: ${flowsCut.length}`)}${more}\n${flowsCut.map((flow) => `  ${flowLine(flow)}\n`).join('')}`;
}

/** Lines of the difference, by the filters they are for; a change of many filters is said once. */
function byFilters({ rules, addressSets, reordered }: DiffView, palette: Palette): Map<string, string[]> {
  const blocks = new Map<string, Map<string, string[]>>();
  const note = (filters: readonly string[], part: string, line: string): void => {
    const head = `filter${filters.length === 1 ? '' : 's'} ${filters.map(printable).join(', ')}`;
    const block = blocks.get(head) ?? new Map<string, string[]>();
    blocks.set(head, block);
    block.set(part, [...(block.get(part) ?? []), line]);
  };
  const plus = (text: string): string => palette.good(`+ ${printable(text)}`);
  const minus = (text: string): string => palette.bad(`- ${printable(text)}`);
  for (const { filters, ruleset, rule } of rules.added) note(filters, `ruleset ${ruleset}`, plus(printRule(rule)));
  for (const { filters, ruleset, rule } of rules.removed) note(filters, `ruleset ${ruleset}`, minus(printRule(rule)));
  for (const { filters, ruleset, before, after } of rules.changed) {
    for (const rule of before) note(filters, `ruleset ${ruleset}`, minus(printRule(rule)));
    for (const rule of after) note(filters, `ruleset ${ruleset}`, plus(printRule(rule)));
  }
  for (const { filters, before, after } of reordered) {
    note(filters, 'order of rulesets', minus(before.join(', ')));
    note(filters, 'order of rulesets', plus(after.join(', ')));
  }
  for (const { filters, name, addresses } of addressSets.added) note(filters, `addrset ${name}`, plus(members(addresses)));
  for (const { filters, name, addresses } of addressSets.removed) note(filters, `addrset ${name}`, minus(members(addresses)));
  for (const { filters, name, added, removed } of addressSets.changed) {
    if (added.length > 0) note(filters, `addrset ${name}`, plus(members(added)));
    if (removed.length > 0) note(filters, `addrset ${name}`, minus(members(removed)));
  }
  return new Map([...blocks].map(([head, block]) => [head, [...block].flatMap(([part, lines]) => [printable(part), ...lines.map((line) => `  ${line}`)])]));
}

function members(addresses: readonly string[]): string {
  if (addresses.length === 0) return 'no members';
  const rest = addresses.length - MEMBERS_SHOWN;
  return `${addresses.slice(0, MEMBERS_SHOWN).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}
