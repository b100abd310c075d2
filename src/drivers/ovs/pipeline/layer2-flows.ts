/**
 * Layer 2 rules of one side of one filter: source address -> class, destination address -> class, both and the EtherType -> verdict. As
 * with addresses of layer 3, two MAC addresses share a class when no rule tells them apart; so order and negation are settled here,
 * and the switch looks up three times whatever the number of rules.
 */
import type { Layer2Binding, MacMatch } from '../../../compile/layer2.js';
import { hash32 } from '../../../model/text-hash.js';
import { goTo, lower, raise, register, resubmit, set, type Flow, type MatchValues, type Step } from './flow.js';
import { CATEGORY, cookie, FLAG, REGISTER, SIDE, TABLE } from './stages.js';

interface MacClasses {
  /** Class of each address that some rule names; all others have class 0. */
  readonly ids: ReadonlyMap<string, number>;
  /** A member of each class, by class; undefined: an address that no rule names. */
  readonly examples: readonly (string | undefined)[];
}

/** A flow, and the rule that it is of; undefined: of none. */
export interface Layer2Flow extends Flow {
  readonly rule?: { readonly table: string; readonly id: number };
}

/** No flows where there are no rules for the side. The first rule that matches decides; frames that none matches pass. */
export function layer2Flows(filter: number, side: 'in' | 'out', bindings: readonly Layer2Binding[]): Layer2Flow[] {
  const rules = bindings.filter(({ rule: { direction } }) => direction === 'inout' || direction === side);
  if (rules.length === 0) return [];
  const stage = SIDE[side];
  const sources = macClasses(rules.map(({ source }) => source));
  const destinations = macClasses(rules.map(({ destination }) => destination));
  const types = [...new Set(rules.flatMap(({ rule: { ethertype } }) => (ethertype === 'any' ? [] : [ethertype])))].sort((a, b) => a - b);
  const mine: MatchValues = { [register(side === 'out' ? REGISTER.from : REGISTER.to)]: filter };
  const flow = (table: number, priority: number, match: MatchValues, ...actions: Step[]): Flow => ({
    table, priority, cookie: cookie(CATEGORY.layer2, filter), match: { ...mine, ...match }, actions,
  });
  const lookup = (table: number, next: number, field: 'eth_src' | 'eth_dst', target: number, { ids }: MacClasses): Flow[] => [
    ...[...ids].map(([mac, id]) => flow(table, 20, { [field]: macNumber(mac) }, set(target, id), goTo(next))),
    flow(table, 10, {}, set(target, 0), goTo(next)),
  ];
  const flows: Layer2Flow[] = [
    ...lookup(stage.l2Source, stage.l2Destination, 'eth_src', REGISTER.class, sources),
    ...lookup(stage.l2Destination, stage.l2, 'eth_dst', REGISTER.profile, destinations),
  ];
  sources.examples.forEach((source, sourceClass) => {
    destinations.examples.forEach((destination, destinationClass) => {
      const classes = { [register(REGISTER.class)]: sourceClass, [register(REGISTER.profile)]: destinationClass };
      const decide = (type: number | undefined): Layer2Binding | undefined => rules.find(({ rule, source: from, destination: to }) => {
        return meets(from, source) && meets(to, destination) && (rule.ethertype === 'any' || rule.ethertype === type);
      });
      const usual = decide(undefined);
      flows.push({ ...flow(stage.l2, 10, classes, ...verdict(usual, stage.afterL2)), ...ruleOf(usual) });
      for (const type of types) {
        const found = decide(type);
        if (found !== usual) flows.push({ ...flow(stage.l2, 20, { ...classes, eth_type: type }, ...verdict(found, stage.afterL2)), ...ruleOf(found) });
      }
    });
  });
  return flows;
}

function ruleOf(binding: Layer2Binding | undefined): Pick<Layer2Flow, 'rule'> {
  return binding === undefined ? {} : { rule: { table: binding.table, id: binding.rule.id } };
}

function verdict(binding: Layer2Binding | undefined, next: number): Step[] {
  const { log = false, action = 'accept' } = binding?.rule ?? {};
  const report = binding === undefined || !log ? [] : [set(REGISTER.label, layer2Id(binding)), raise(FLAG.log | FLAG.layer2), resubmit(TABLE.REPORT), lower(FLAG.log | FLAG.layer2)];
  return [...report, ...(action === 'accept' ? [goTo(next)] : [])];
}

/** By which reports name a layer 2 rule. */
export function layer2Id({ table, rule }: Pick<Layer2Binding, 'table' | 'rule'>): number {
  return hash32(`${table}/${rule.id}`) >>> 0;
}

function meets(match: MacMatch, mac: string | undefined): boolean {
  return match.any || (mac !== undefined && match.macs.includes(mac)) !== match.not;
}

function macClasses(matches: readonly MacMatch[]): MacClasses {
  const holders = new Map<string, number[]>();
  matches.forEach(({ macs }, index) => {
    for (const mac of macs) {
      const known = holders.get(mac);
      if (known === undefined) holders.set(mac, [index]);
      else if (known.at(-1) !== index) known.push(index);
    }
  });
  const ids = new Map<string, number>();
  const examples: (string | undefined)[] = [undefined];
  const known = new Map<string, number>();
  for (const [mac, inside] of [...holders].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const key = inside.join();
    const id = known.get(key) ?? examples.push(mac) - 1;
    known.set(key, id);
    ids.set(mac, id);
  }
  return { ids, examples };
}

export function macNumber(mac: string): bigint {
  return BigInt(`0x${mac.replaceAll(':', '')}`);
}
