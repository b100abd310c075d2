/**
 * Meters that limit copies: numbers, and keeping the switch's equal to what is wanted. The numbers behind those of reports (port-flows.ts) and of DNS replies
 * (dns-flows.ts) are ours, two for each TrafficControl that has a limit.
 */
import { hash32 } from '../../model/text-hash.js';
import type { CopyRateLimit } from '../../model/objects.js';
import { buildMeterConfigRequest, buildMeterStatsRequest, encodeMeterDelete, encodeMeterMod, readMeterConfig, readMeterStats, type Meter, type MeterStats } from './openflow/meters.js';
import type { OpenFlowVersion } from './openflow/constants.js';
import type { FrameFilter } from './target.js';

const FIRST = 0xff10;
const END = 0xffff;
/** TrafficControls that may have a limit. */
export const LIMITED_CONTROLS = 100;
const SLOTS = Math.floor((END - FIRST) / 2);

export interface MeterSession {
  readonly version: OpenFlowVersion;
  send(...messages: readonly Uint8Array[]): Promise<void>;
  /** A multipart request; `use` gets each part of the answer. */
  read(message: Uint8Array, use: (part: Uint8Array) => void): Promise<void>;
}

/** By the name of the TrafficControl: the same numbers for the same set of names. At most SLOTS of them. */
export function copyMeters(frames: Iterable<Pick<FrameFilter, 'mirrors'>>): Map<string, readonly Meter[]> {
  const limits = new Map<string, CopyRateLimit>();
  for (const { mirrors } of frames) {
    for (const { control, rateLimit } of [...mirrors.in, ...mirrors.out]) if (rateLimit !== undefined) limits.set(control, rateLimit);
  }
  const taken = new Set<number>();
  return new Map([...limits].sort(([a], [b]) => (a < b ? -1 : 1)).slice(0, SLOTS).map(([control, limit]): [string, readonly Meter[]] => {
    let slot = (hash32(control) >>> 0) % SLOTS;
    while (taken.has(slot)) slot = (slot + 1) % SLOTS;
    taken.add(slot);
    return [control, metersOf(limit, FIRST + 2 * slot)];
  }));
}

/** The switch counts bytes in kilobits. */
function metersOf({ packetsPerSecond, bytesPerSecond, burst }: CopyRateLimit, id: number): Meter[] {
  const kilobits = Math.ceil(((bytesPerSecond ?? 0) * 8) / 1000);
  return [
    ...(packetsPerSecond === undefined ? [] : [{ id, unit: 'packets', burst: true, stats: true, bands: [{ rate: packetsPerSecond, burst: burst ?? packetsPerSecond }] } as const]),
    ...(bytesPerSecond === undefined ? [] : [{ id: id + 1, unit: 'kilobits', burst: true, stats: true, bands: [{ rate: kilobits, burst: kilobits }] } as const]),
  ];
}

export class CopyMeters {
  /** Those of the switch, as text, on the connection they were read from. */
  private known: { readonly session: MeterSession; readonly meters: Map<number, string> } | undefined;

  /** Makes what is wanted be there, as it shall be, before flows name it. One that is what it shall be is left alone, with its counters. */
  async prepare(session: MeterSession, wanted: readonly Meter[]): Promise<void> {
    const { meters } = this.known?.session === session ? this.known : await this.read(session);
    for (const meter of wanted) {
      const text = JSON.stringify(meter);
      if (meters.get(meter.id) === text) continue;
      await session.send(encodeMeterMod(meters.has(meter.id) ? 'modify' : 'add', meter, session.version));
      meters.set(meter.id, text);
    }
  }

  /** Removes the others, when no flow names them any more: flows that do go with their meter. */
  async finish(session: MeterSession, wanted: readonly Meter[]): Promise<void> {
    if (this.known?.session !== session) return;
    const keep = new Set(wanted.map(({ id }) => id));
    for (const id of [...this.known.meters.keys()].filter((number) => !keep.has(number))) {
      await session.send(encodeMeterDelete(id, session.version));
      this.known.meters.delete(id);
    }
  }

  /** By number. */
  async stats(session: MeterSession): Promise<Map<number, MeterStats>> {
    const found = new Map<number, MeterStats>();
    await session.read(buildMeterStatsRequest(session.version), (part) => readMeterStats(part, (stats) => {
      if (isOurs(stats.id)) found.set(stats.id, stats);
    }));
    return found;
  }

  private async read(session: MeterSession): Promise<{ readonly meters: Map<number, string> }> {
    this.known = undefined;
    const meters = new Map<number, string>();
    await session.read(buildMeterConfigRequest(session.version), (part) => readMeterConfig(part, (meter) => {
      if (isOurs(meter.id)) meters.set(meter.id, JSON.stringify({ id: meter.id, unit: meter.unit, burst: meter.burst, stats: meter.stats, bands: meter.bands }));
    }));
    this.known = { session, meters };
    return this.known;
  }
}

function isOurs(id: number): boolean {
  return id >= FIRST && id < END;
}
