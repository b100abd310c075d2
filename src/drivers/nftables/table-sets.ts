/** The kernel sets of one compiled rule table: which there are, and which of them a compilation needs. */
import { CLASS_NONE_6, type CompiledSide, type CompiledTable, type Side } from '../../compile/compiled.js';
import type { SetImage } from './image.js';
import { TYPE } from './kernel.js';
import { hasSplit } from './region-split.js';

export type Family = 4 | 6;

/** Profile numbers that mean "is a guarded local address". */
export const GUARD_PROFILE = { in: 0xfffffff1, out: 0xfffffff2 } as const;

/** What the port in a key of `exact` stands for: itself, or its block. */
export const LEVEL = { port: 0, block: 1 } as const;

export interface AddressMaps {
  readonly hosts: Readonly<Record<Family, SetImage>>;
  readonly intervals: Readonly<Record<Family, SetImage>>;
}
export interface TableSets extends AddressMaps {
  readonly sourcePorts: SetImage;
  readonly pairs: SetImage;
  /** Regions of one port and blocks of ports, by hash. Last word of the key: LEVEL. */
  readonly exact: SetImage;
  readonly regions: SetImage;
  readonly locals: Readonly<Record<Side, AddressMaps>>;
}

export function tableSets(prefix: string): TableSets {
  const data = (name: string, keyType: number, keyLength: number, interval: boolean): SetImage => ({
    name: `${prefix}_${name}`, keyType, keyLength, interval, data: 16, counter: false, size: 0,
  });
  const maps = (name: string): AddressMaps => ({
    hosts: { 4: data(`${name}h4`, TYPE.ipv4, 4, false), 6: data(`${name}h6`, TYPE.ipv6, 16, false) },
    intervals: { 4: data(`${name}i4`, TYPE.ipv4, 4, true), 6: data(`${name}i6`, TYPE.ipv6, 16, true) },
  });
  return {
    ...maps(''),
    sourcePorts: data('s', TYPE.service, 2, true),
    pairs: data('p', TYPE.ipv6, 16, false),
    exact: data('x', TYPE.ipv6, 16, false),
    regions: data('r', TYPE.ipv6, 16, true),
    locals: { in: maps('in_'), out: maps('out_') },
  };
}

/** Sets that this compilation needs. One that would be empty is not made, and no rule looks into it. */
export function usedSets(sets: TableSets, compiled: CompiledTable): SetImage[] {
  const { classes, sides } = compiled;
  const used: SetImage[] = [sets.regions];
  if (hasSplit(compiled)) used.push(sets.exact);
  const use = (maps: AddressMaps, sizes: Readonly<Record<'hosts4' | 'hosts6' | 'intervals4' | 'intervals6', number>>): void => {
    if (sizes.hosts4 > 0) used.push(maps.hosts[4]);
    if (sizes.hosts6 > 0) used.push(maps.hosts[6]);
    if (sizes.intervals4 > 0) used.push(maps.intervals[4]);
    if (sizes.intervals6 > 0) used.push(maps.intervals[6]);
  };
  const pairs = needsPairs(compiled);
  if (pairs) used.push(sets.pairs);
  if (pairs || peersMatter(sides.in) || peersMatter(sides.out)) {
    use(sets, { hosts4: classes.hosts4.size, hosts6: classes.hosts6.size, intervals4: classes.intervals4.first.length, intervals6: classes.intervals6.first.length });
  }
  if (compiled.sourcePorts !== undefined) used.push(sets.sourcePorts);
  for (const side of ['in', 'out'] as const) {
    const { locals4, locals6, localIntervals4, localIntervals6 } = sides[side];
    use(sets.locals[side], { hosts4: locals4.size, hosts6: locals6.size, intervals4: localIntervals4.first.length, intervals6: localIntervals6.first.length });
  }
  return used;
}

/** Some packet's pair depends on more than its peer's address. */
function needsPairs({ sides, sourcePorts }: CompiledTable): boolean {
  return sourcePorts !== undefined || [sides.in, sides.out].some(({ guarded, profiles }) => guarded.size > 0 || profiles.size > 1);
}

/** Some profile tells peers apart by address. */
export function peersMatter({ profiles }: CompiledSide): boolean {
  for (const profile of profiles.values()) {
    for (const key of profile.pairs.keys()) {
      const classNumber = key % 0x1_0000_0000;
      if (classNumber !== 0 && classNumber !== CLASS_NONE_6) return true;
    }
  }
  return false;
}
