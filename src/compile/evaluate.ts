/** Walks a compiled table as the kernel does, lookup by lookup: what `agentctl trace` answers from. */
import type { AddressKey } from './addresses.js';
import { intervalClass, type IntervalClasses } from './classes.js';
import { UNDERLYING, winnerAt } from './regions.js';
import { sourcePortClass } from './source-ports.js';
import { CLASS_NONE_6, pairKey, type CompiledTable, type LabelInfo, type Side } from './compiled.js';

export interface TracePacket {
  readonly source: AddressKey;
  readonly destination: AddressKey;
  readonly protocol: number;
  readonly sourcePort: number;
  /** Destination port; ICMP: type * 256 + code; 0 for protocols without ports. */
  readonly port: number;
}

const HAVE_PORTS: ReadonlySet<number> = new Set([6, 17, 33, 132, 136]);

/** The rule that decides, or 'guarded': the local address is in a set but on no attachment of a table too large to compile for it. */
export function evaluate(compiled: CompiledTable, side: Side, packet: TracePacket): LabelInfo | 'guarded' {
  const local = side === 'in' ? packet.destination : packet.source;
  const peer = side === 'in' ? packet.source : packet.destination;
  const compiledSide = compiled.sides[side];
  const profileId = (local.family === 4
    ? compiledSide.locals4.get(local.key) ?? intervalClass(compiledSide.localIntervals4, local.key)
    : compiledSide.locals6.get(local.key) ?? intervalClass(compiledSide.localIntervals6, local.key)) || compiledSide.defaultProfile;
  if (profileId === compiledSide.defaultProfile && addressClasses(compiled, local).some((id) => compiledSide.guarded.has(id))) return 'guarded';

  const profile = compiledSide.profiles.get(profileId);
  if (profile === undefined) throw new Error(`profile ${profileId} is not compiled`);
  const sourcePort = compiled.sourcePorts !== undefined && HAVE_PORTS.has(packet.protocol) ? sourcePortClass(compiled.sourcePorts, packet.sourcePort) : 0;
  const none = packet.source.family === 6 && profile.default4 !== profile.default6 ? CLASS_NONE_6 : 0;
  const own = [...addressClasses(compiled, peer), none].flatMap((id) => profile.pairs.get(pairKey(id, sourcePort)) ?? []);
  const standard = packet.source.family === 4 ? profile.default4 : profile.default6;
  const at = (packet.protocol << 16) | packet.port;
  // A pair that leaves something open leaves it to the next lookup.
  for (const pair of [...own, standard]) {
    const regions = compiled.regions.get(pair);
    const winner = regions === undefined ? UNDERLYING : winnerAt(regions, at);
    if (winner === UNDERLYING) continue;
    const label = compiled.labels.get(winner);
    if (label === undefined) throw new Error(`pair ${pair} names label ${winner}, which there is not`);
    return label;
  }
  throw new Error(`no pair has a rule for protocol ${packet.protocol}, port ${packet.port}`);
}

/** As the chain tries them: the host's class, then the interval's. */
function addressClasses({ classes }: CompiledTable, address: AddressKey): number[] {
  const both = address.family === 4
    ? classesOf(classes.hosts4, classes.intervals4, address.key)
    : classesOf(classes.hosts6, classes.intervals6, address.key);
  return both.filter((id) => id !== 0);
}

function classesOf<K extends number | string>(hosts: ReadonlyMap<K, number>, intervals: IntervalClasses<K>, key: K): number[] {
  return [hosts.get(key) ?? 0, intervalClass(intervals, key)];
}
