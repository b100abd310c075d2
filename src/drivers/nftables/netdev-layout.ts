/**
 * Table `netdev dfw`: what happens between a vNIC and the network stack, per interface: who sends as somebody else, copies for
 * mirrors, then layer 2 rules, then the way to who inspects the traffic itself. Direction `out` (from the workload) is the interface's ingress hook, `in` its egress hook.
 */
import type { Layer2Binding, MacMatch } from '../../compile/layer2.js';
import type { TrafficMatch } from '../../model/objects.js';
import type { Layer2Rule } from '../../model/rule.js';
import { copyRules, limitImages, type MirrorTarget } from './copy-rules.js';
import { accept, counter, drop, equal, limit, log, meta, notEqual, payload, type Expression } from './expressions.js';
import { rule, shortName, type ChainImage, type HookImage, type LimitImage, type RuleImage } from './image.js';
import { learnChains } from './learn-layout.js';
import { spoofChain } from './spoof-layout.js';
import { trafficMatches } from './traffic-match.js';
import { FAMILY, HOOK, META, PAYLOAD } from './kernel.js';
import { redirectChain, redirectRules, returnedRule, type RedirectTarget } from './redirect-layout.js';

export const NETDEV_TABLE = { family: FAMILY.netdev, table: 'dfw' } as const;
type Side = 'in' | 'out';

export interface NetdevFilter {
  readonly number: number;
  readonly interface: string;
  readonly interfaceIndex: number;
  readonly mirrors: Readonly<Record<Side, readonly MirrorTarget[]>>;
  /** The workload's; '' = not known: it has no redirects. */
  readonly mac: string;
  /** Where its traffic goes instead, to come back; the first that matches. */
  readonly redirects: Readonly<Record<Side, readonly RedirectTarget[]>>;
  /** Sides on which nothing passes: traffic that must be inspected, and cannot be. */
  readonly blocked: readonly { readonly side: Side; readonly match?: readonly TrafficMatch[] }[];
  /** In order; empty = all frames pass. */
  readonly layer2: readonly Layer2Binding[];
  /** Addresses that it may send from, besides `mac` (SpoofGuard); absent: nothing is checked. */
  readonly guard?: readonly string[];
  /** Only these, be there none. */
  readonly strict?: true;
  /** NFLOG group that gets copies of frames which tell its addresses; absent: none. */
  readonly learnGroup?: number;
}

export interface NetdevImage {
  readonly chains: ReadonlyMap<string, ChainImage>;
  /** Limits that rules name. */
  readonly limits: ReadonlyMap<string, LimitImage>;
}

const MIRROR_PRIORITY = -200;
/** Behind the copies: they are made of what is dropped, too. */
const BLOCK_PRIORITY = -150;
const RULES_PRIORITY = -100;
/** Behind all others: what comes back has passed them. */
const REDIRECT_PRIORITY = -50;

export function netdevImage(filters: readonly NetdevFilter[], sensors: readonly { readonly interface: string; readonly interfaceIndex: number }[], logGroup: number, returnedMark: number): NetdevImage {
  const chains = new Map<string, ChainImage>();
  const limits = new Map<string, LimitImage>();
  for (const filter of filters) {
    const guard = filter.guard === undefined ? undefined : spoofChain({ ...filter, addresses: filter.guard });
    if (guard !== undefined) chains.set(guard.name, guard);
    for (const chain of filter.learnGroup === undefined ? [] : learnChains(filter, filter.learnGroup)) chains.set(chain.name, chain);
    for (const side of ['in', 'out'] as const) {
      const hook = (priority: number): HookImage => ({ hook: side === 'out' ? HOOK.netdevIngress : HOOK.netdevEgress, priority, device: filter.interface });
      // What was sent, and comes back, comes in by the same interface again.
      const returned = side === 'out' && filter.redirects.out.length > 0 ? [returnedRule(returnedMark, filter)] : [];
      const copies = copyRules(filter.mirrors[side], filter);
      if (copies.together.length > 0) {
        const name = mirrorChain(filter.number, side);
        chains.set(name, { name, hook: hook(MIRROR_PRIORITY), rules: [...returned, ...copies.together] });
      }
      for (const [index, rules] of copies.apart.entries()) {
        const name = `${mirrorChain(filter.number, side)}_${index}`;
        chains.set(name, { name, hook: hook(MIRROR_PRIORITY), rules: [...returned, ...rules] });
      }
      for (const cap of filter.mirrors[side].flatMap((mirror) => limitImages(mirror))) limits.set(cap.name, cap);
      const blocked = filter.blocked.filter((entry) => entry.side === side).flatMap(({ match }) => trafficMatches(match));
      if (blocked.length > 0) {
        const name = `blocked_${filter.number}_${side}`;
        const rules = blocked.map(({ text, expressions }) => rule(`not inspected${text}, of ${filter.interface} (${filter.interfaceIndex})`, ...expressions, counter, drop));
        chains.set(name, { name, hook: hook(BLOCK_PRIORITY), rules: [...returned, ...rules] });
      }
      const rules = filter.layer2.filter(({ rule: entry }) => entry.direction === 'inout' || entry.direction === side);
      if (rules.length > 0) {
        const name = `l2_${filter.number}_${side}`;
        const images = rules.map((binding) => layer2Rules(binding, side, filter, logGroup));
        chains.set(name, { name, hook: hook(RULES_PRIORITY), rules: [...returned, ...images.flat()] });
      }
      const redirects = filter.redirects[side];
      if (redirects.length > 0) {
        const name = redirectChain(filter.number, side);
        chains.set(name, { name, hook: hook(REDIRECT_PRIORITY), rules: redirectRules(redirects, side, returnedMark, filter) });
      }
    }
  }
  for (const sensor of sensors) {
    // The engine reads the frames before this hook; the host's own stack must not answer them.
    const name = `sensor_${sensor.interfaceIndex}`;
    chains.set(name, {
      name, hook: { hook: HOOK.netdevIngress, priority: MIRROR_PRIORITY, device: sensor.interface },
      rules: [rule(`copies delivered to ${sensor.interface} (${sensor.interfaceIndex})`, counter, drop)],
    });
  }
  return { chains, limits };
}

/** Of devices that get all packets; those of others have a number more. */
export function mirrorChain(filter: number, side: Side): string {
  return `mirror_${filter}_${side}`;
}

/**
 * The kernel rules of one layer 2 rule: one for each pair of a source and a destination address that it names. Addresses are
 * compared, not looked up in sets: a listing of a set lookup on link-layer bytes cannot be loaded again by nft. The log rule
 * stands apart, so that its rate limit decides nothing.
 */
function layer2Rules(binding: Layer2Binding, side: Side, filter: NetdevFilter, logGroup: number): RuleImage[] {
  const { rule: entry } = binding;
  const ethertype = entry.ethertype === 'any' ? [] : [meta(META.protocol, 0), equal(0, Uint8Array.of(entry.ethertype >>> 8, entry.ethertype))];
  const what = `${shortName(binding.table)}/${entry.id} of (${filter.interfaceIndex})`;
  return macMatches(binding.source, SOURCE_OFFSET).flatMap((source) => macMatches(binding.destination, 0).flatMap((destination) => {
    const match = [...ethertype, ...source, ...destination];
    return [
      ...(entry.log ? [rule(`layer 2 log ${what}`, ...match, limit(1000, 2000), log(logGroup, layer2LogPrefix(binding, side), 64))] : []),
      rule(`layer 2 rule ${what}`, ...match, counter, entry.action === 'accept' ? accept : drop),
    ];
  }));
}

const SOURCE_OFFSET = 6;

function layer2LogPrefix(binding: Layer2Binding, side: Side): string {
  return new TextDecoder().decode(new TextEncoder().encode(`dfw2 ${binding.rule.id} ${side} ${binding.rule.action} ${binding.table}`).subarray(0, 126));
}

/** Of a frame that a layer 2 rule logged; undefined: some other packet. */
export function parseLayer2LogPrefix(prefix: string): { readonly table: string; readonly ruleId: number; readonly direction: Side; readonly action: Layer2Rule['action'] } | undefined {
  const [, id = '', side, action, table = ''] = /^dfw2 (\d+) (in|out) (accept|drop) (.*)$/.exec(prefix) ?? [];
  return side === undefined ? undefined : { table, ruleId: Number(id), direction: side === 'in' ? 'in' : 'out', action: action === 'accept' ? 'accept' : 'drop' };
}

/** Alternatives, each a conjunction; none = matches nothing. */
function macMatches(match: MacMatch, offset: number): Expression[][] {
  if (match.any) return [[]];
  const load = payload(PAYLOAD.link, offset, 6, 0);
  if (match.not) return [match.macs.flatMap((mac) => [load, notEqual(0, macBytes(mac))])];
  return match.macs.map((mac) => [load, equal(0, macBytes(mac))]);
}

function macBytes(mac: string): Uint8Array {
  return Uint8Array.from(mac.split(':'), (part) => Number.parseInt(part, 16));
}
