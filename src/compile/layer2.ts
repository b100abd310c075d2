/** A filter's layer 2 rules with their address sets resolved: what both datapaths make their own rules of. Pure. */
import type { AddressMatch, Layer2Rule } from '../model/rule.js';
import type { EffectiveTable } from './effective.js';

export interface Layer2Binding {
  readonly table: string;
  readonly rule: Layer2Rule;
  readonly source: MacMatch;
  readonly destination: MacMatch;
}
/** MAC addresses of one end of a rule, its sets resolved. */
export interface MacMatch {
  readonly any: boolean;
  readonly not: boolean;
  readonly macs: readonly string[];
}

/** The rules of the tables in order. Empty where they accept every frame and log none: nothing needs to be asked then. */
export function layer2Bindings(tables: readonly EffectiveTable[]): Layer2Binding[] {
  const bindings = tables.flatMap(({ table, sets }) => table.layer2Rules.map((rule): Layer2Binding => ({
    table: table.metadata.name, rule,
    source: resolveMacs(rule.source, (name) => sets.get(name)?.members ?? []),
    destination: resolveMacs(rule.destination, (name) => sets.get(name)?.members ?? []),
  })));
  return bindings.every(({ rule, source, destination }) => rule.action === 'accept' && !rule.log && source.any && destination.any && rule.ethertype === 'any') ? [] : bindings;
}

/** Members of sets that are no MAC addresses are passed over. */
function resolveMacs(match: AddressMatch, members: (set: string) => readonly string[]): MacMatch {
  const macs = [...match.addresses];
  for (const name of match.addressSets) {
    macs.push(...members(name).filter((member) => /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(member)));
  }
  return { any: match.addresses.length === 0 && match.addressSets.length === 0, not: match.not, macs: [...new Set(macs)].sort() };
}
