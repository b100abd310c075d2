/** The packets around an alert: a ring of what the sensor saw, of which one connection's are given out. */
import { AgentError, describeError } from '../../model/errors.js';
import { hasPorts, protocolFromText } from '../../model/protocols.js';
import type { AlertView } from '../../model/views.js';
import { PACKET_RECORD_BYTES, type PacketRing, type PacketRingQuery, type PacketRingStats } from '../../native/binding.js';
import type { Logger } from '../../platform/logger.js';
import { pcapngHeader, pcapngPacket, type CapturedPacket } from './pcapng.js';

export interface AlertPacketsOptions {
  /** One a sensor: an engine may get copies by one interface and stand in the path behind another. */
  readonly sensors: readonly { readonly interface: string; readonly ring: PacketRing }[];
  /** As pcapng names the program. */
  readonly application: string;
  readonly log: Logger;
}

/** Before and after the alert: longer ago, the same ports may have been another connection's. */
const AROUND_MS = 300_000;
const LARGEST_ANSWER = 64 * 1024 * 1024;
/** Packets written as one chunk. */
const CHUNK = 256;

export class AlertPackets {
  readonly #sensors: readonly Sensor[];

  constructor(private readonly options: AlertPacketsOptions) {
    this.#sensors = options.sensors.map((each) => ({ ...each, bound: 0, reason: `interface ${each.interface} is not there` }));
  }

  /** To be called whenever interfaces change, with their indexes by name; the same again does nothing. */
  interfacesAre(indexes: ReadonlyMap<string, number>): void {
    for (const sensor of this.#sensors) this.#follow(sensor, indexes.get(sensor.interface));
  }

  stop(): void {
    for (const sensor of this.#sensors) {
      sensor.ring.stop();
      sensor.bound = 0;
      sensor.reason = 'stopped';
    }
  }

  /** Of all sensors together; `oldestMs`: of the one that reaches back the least. `reason`: why something is not seen; "" when all is well. */
  status(): PacketRingStats & { readonly reason: string } {
    const all = this.#sensors.map(({ ring }) => ring.stats());
    const sum = (key: Exclude<keyof PacketRingStats, 'oldestMs'>): number => all.reduce((total, stats) => total + stats[key], 0);
    return {
      packets: sum('packets'), dropped: sum('dropped'), kept: sum('kept'), usedBytes: sum('usedBytes'), capacityBytes: sum('capacityBytes'),
      oldestMs: Math.max(0, ...all.map(({ oldestMs }) => oldestMs)), reason: this.#reason,
    };
  }

  get #reason(): string {
    return this.#sensors.find(({ reason }) => reason !== '')?.reason ?? '';
  }

  #follow(sensor: Sensor, index: number | undefined): void {
    if (index === undefined) {
      if (sensor.bound !== 0) sensor.reason = `interface ${sensor.interface} is not there`;
      return;
    }
    if (index === sensor.bound && sensor.reason === '') return;
    try {
      if (sensor.bound === 0) sensor.ring.start(index);
      else sensor.ring.bind(index);
      sensor.bound = index;
      sensor.reason = '';
    } catch (error) {
      const reason = describeError(error);
      if (reason !== sensor.reason) this.options.log.warn('ids.pcap.failed', { sensor: sensor.interface, reason });
      sensor.reason = reason;
    }
  }

  /**
   * A pcapng file of the alert's connection, both ways, oldest first; a comment names the alert, at the file and at the packet closest to it.
   * @throws AgentError E_NOT_FOUND when the ring has none of them any more, or never had: it says which.
   */
  async *file(alert: AlertView): AsyncGenerator<Uint8Array> {
    const alertMs = Date.parse(alert.timestamp);
    const lastMs = Date.parse(alert.last ?? alert.timestamp);
    const protocol = protocolFromText(alert.protocol);
    if (protocol === undefined || protocol === 'any') throw new AgentError('E_NOT_FOUND', `packets of protocol ${alert.protocol} cannot be told apart`, { object: alert.id });
    const query: PacketRingQuery = {
      family: alert.source.address.includes(':') ? 6 : 4, protocol, hasPorts: hasPorts(protocol), a: alert.source, b: alert.destination,
      fromMs: Math.max(0, Math.floor(alertMs - AROUND_MS)), toMs: Math.ceil(lastMs + AROUND_MS), limitBytes: LARGEST_ANSWER,
    };
    const started = this.#sensors.filter(({ bound }) => bound !== 0);
    const found = await Promise.all(started.map(({ ring }) => ring.find(query)));
    const complete = found.every((each) => each.complete);
    const packets = found.flatMap(({ records }) => [...packetsOf(records)]);
    if (packets.length === 0) throw this.#nothing(alert, alertMs, Math.max(0, ...found.map(({ oldestMs }) => oldestMs)));
    // Each ring is in order by itself.
    if (started.length > 1) packets.sort((a, b) => (a.timeNs < b.timeNs ? -1 : a.timeNs > b.timeNs ? 1 : 0));
    const name = `alert ${alert.id}: ${alert.signatureId} ${alert.signature} (severity ${alert.severity}, ${alert.action})`;
    const more = `${alert.workload === undefined ? '' : `; workload ${[alert.workload.kind, alert.workload.namespace, alert.workload.name].filter((part) => part !== undefined).join('/')}`}${complete ? '' : '; cut: more packets were there'}`;
    yield pcapngHeader({ interface: started.map((each) => each.interface).join(', '), comment: `${name} at ${alert.timestamp}${more}`, application: this.options.application });
    const closest = closestTo(packets, BigInt(Math.round(alertMs)) * 1_000_000n);
    for (let at = 0; at < packets.length; at += CHUNK) {
      const chunk = packets.slice(at, at + CHUNK).map((packet) => pcapngPacket(packet === closest ? { ...packet, comment: name } : packet));
      yield Buffer.concat(chunk);
    }
  }

  #nothing(alert: AlertView, alertMs: number, oldestMs: number): AgentError {
    const options = { object: alert.id };
    if (this.#reason !== '') return new AgentError('E_NOT_FOUND', `no packets were kept: ${this.#reason}`, options);
    if (oldestMs === 0) return new AgentError('E_NOT_FOUND', 'no packets were kept yet: the sensor has seen none since the agent began', options);
    if (oldestMs > alertMs) {
      return new AgentError('E_NOT_FOUND', `the packets are gone: the oldest that is kept is of ${new Date(oldestMs).toISOString()}; a larger ids.pcap.bytes keeps them longer`, options);
    }
    return new AgentError('E_NOT_FOUND', 'the sensor has no packet of this connection: it may have seen them before the agent began to keep packets', options);
  }
}

interface Sensor {
  readonly interface: string;
  readonly ring: PacketRing;
  /** Index of the interface that it reads, 0 = none yet. */
  bound: number;
  /** Why it sees nothing; "" when it does. */
  reason: string;
}

function* packetsOf(records: Uint8Array): Generator<CapturedPacket> {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  for (let at = 0; at + PACKET_RECORD_BYTES <= records.length;) {
    // Host order; every platform the addon is built for is little-endian or says so here.
    const size = view.getUint32(at, LITTLE_ENDIAN);
    const captured = view.getUint32(at + 4, LITTLE_ENDIAN);
    yield {
      length: view.getUint32(at + 8, LITTLE_ENDIAN), timeNs: view.getBigUint64(at + 16, LITTLE_ENDIAN),
      frame: records.subarray(at + PACKET_RECORD_BYTES, at + PACKET_RECORD_BYTES + captured),
    };
    at += Math.max(size, PACKET_RECORD_BYTES);
  }
}

const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

function closestTo(packets: readonly CapturedPacket[], timeNs: bigint): CapturedPacket | undefined {
  const distance = ({ timeNs: at }: CapturedPacket): bigint => (at > timeNs ? at - timeNs : timeNs - at);
  let best: CapturedPacket | undefined;
  for (const packet of packets) if (best === undefined || distance(packet) < distance(best)) best = packet;
  return best;
}
