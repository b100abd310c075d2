/** Meters (OpenFlow 1.5.1, 7.3.4.5 and 7.3.5.13..15). */
import { whole } from './action-parts.js';
import { ByteReader, malformed } from './bytes.js';
import type { ByteWriter } from './bytes.js';
import { ALL_METERS, MESSAGE, MULTIPART } from './constants.js';
import type { OpenFlowVersion } from './constants.js';
import { buildMessage } from './message.js';
import { buildMultipart, forEachEntry, MULTIPART_BODY } from './multipart.js';

/** A band that drops what exceeds its rate. */
export interface MeterBand {
  /** Packets or kilobits a second, as the meter says. */
  readonly rate: number;
  /** Packets or kilobits; counts only with the meter's `burst`. */
  readonly burst?: number;
}

export interface Meter {
  readonly id: number;
  readonly unit: 'packets' | 'kilobits';
  /** Bands have bursts of their own. */
  readonly burst?: boolean;
  /** Counts what it sees. */
  readonly stats?: boolean;
  readonly bands: readonly MeterBand[];
}

const COMMAND = { add: 0, modify: 1 } as const;
const DELETE = 2;
const FLAG = { KBPS: 1, PKTPS: 2, BURST: 4, STATS: 8 } as const;
const BAND_DROP = 1;
const BAND_LENGTH = 16;

/** Not possible inside of a bundle (Open vSwitch 3.1): send it by itself. */
export function encodeMeterMod(command: 'add' | 'modify', meter: Meter, version: OpenFlowVersion): Buffer {
  return buildMessage(version, MESSAGE.METER_MOD, (writer) => {
    writer.u16(COMMAND[command]);
    writer.u16((meter.unit === 'packets' ? FLAG.PKTPS : FLAG.KBPS) | (meter.burst === true ? FLAG.BURST : 0) | (meter.stats === true ? FLAG.STATS : 0));
    writer.u32(whole(meter.id, 32, 'meter'));
    for (const band of meter.bands) writeBand(writer, band);
  });
}

function writeBand(writer: ByteWriter, band: MeterBand): void {
  writer.u16(BAND_DROP);
  writer.u16(BAND_LENGTH);
  writer.u32(whole(band.rate, 32, 'rate'));
  writer.u32(whole(band.burst ?? 0, 32, 'burst'));
  writer.zeros(4);
}

/** Absent meters are no error; ALL_METERS deletes all. */
export function encodeMeterDelete(id: number, version: OpenFlowVersion): Buffer {
  return buildMessage(version, MESSAGE.METER_MOD, (writer) => {
    writer.u16(DELETE);
    writer.u16(0);
    writer.u32(whole(id, 32, 'meter'));
  });
}

export function buildMeterConfigRequest(version: OpenFlowVersion, id: number = ALL_METERS): Buffer {
  return meterRequest(version, MULTIPART.METER_CONFIG, id);
}

export function buildMeterStatsRequest(version: OpenFlowVersion, id: number = ALL_METERS): Buffer {
  return meterRequest(version, MULTIPART.METER, id);
}

export function buildMeterFeaturesRequest(version: OpenFlowVersion): Buffer {
  return buildMultipart(version, MULTIPART.METER_FEATURES);
}

function meterRequest(version: OpenFlowVersion, type: number, id: number): Buffer {
  return buildMultipart(version, type, (writer) => {
    writer.u32(id);
    writer.zeros(4);
  });
}

/** Bands that do not drop are left out. */
export function readMeterConfig(message: Uint8Array, use: (meter: Meter) => void): void {
  forEachEntry(message, 8, 0, (entry) => {
    entry.skip(2);
    const flags = entry.u16();
    const id = entry.u32();
    const bands: MeterBand[] = [];
    while (entry.remaining > 0) {
      const type = entry.u16();
      const length = entry.u16();
      if (length < 12) throw malformed('a band of a meter is too short', { length });
      const band = entry.sub(length - 4);
      const rate = band.u32();
      const burst = band.u32();
      if (type === BAND_DROP) bands.push(burst === 0 ? { rate } : { rate, burst });
    }
    use({
      id, unit: (flags & FLAG.PKTPS) === 0 ? 'kilobits' : 'packets', bands,
      ...((flags & FLAG.BURST) === 0 ? {} : { burst: true }), ...((flags & FLAG.STATS) === 0 ? {} : { stats: true }),
    });
  });
}

export interface MeterStats {
  readonly id: number;
  readonly flows: number;
  readonly packets: bigint;
  readonly bytes: bigint;
  readonly duration: number;
  /** What each band dropped. */
  readonly bands: readonly { readonly packets: bigint; readonly bytes: bigint }[];
}

export function readMeterStats(message: Uint8Array, use: (stats: MeterStats) => void): void {
  forEachEntry(message, 40, 4, (entry) => {
    const id = entry.u32();
    entry.skip(8);
    const flows = entry.u32();
    const packets = entry.u64();
    const bytes = entry.u64();
    const duration = entry.u32() + entry.u32() / 1e9;
    const bands = [];
    while (entry.remaining >= 16) bands.push({ packets: entry.u64(), bytes: entry.u64() });
    use({ id, flows, packets, bytes, duration, bands });
  });
}

export interface MeterFeatures {
  /** 0: the datapath has no meters. */
  readonly maximum: number;
  readonly maxBands: number;
  /** Bits: 1 << 1 drop, 1 << 2 DSCP remark. */
  readonly bandTypes: number;
  /** FLAG bits: 1 kilobits, 2 packets, 4 burst, 8 stats. */
  readonly capabilities: number;
}

export function readMeterFeatures(message: Uint8Array): MeterFeatures {
  const reader = new ByteReader(message, MULTIPART_BODY);
  const maximum = reader.u32();
  const bandTypes = reader.u32();
  const capabilities = reader.u32();
  return { maximum, bandTypes, capabilities, maxBands: reader.u8() };
}
