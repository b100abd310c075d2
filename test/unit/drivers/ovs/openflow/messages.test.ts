import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteWriter } from '../../../../../src/drivers/ovs/openflow/bytes.js';
import { MULTIPART, OF14, OF15, PORT } from '../../../../../src/drivers/ovs/openflow/constants.js';
import { encodeFlowMonitor, readFlowRemoved, readFlowUpdates } from '../../../../../src/drivers/ovs/openflow/flow-events.js';
import type { FlowUpdate } from '../../../../../src/drivers/ovs/openflow/flow-events.js';
import { deleteByCookie, encodeFlowMod, writeFlowMod } from '../../../../../src/drivers/ovs/openflow/flow-mod.js';
import { buildFlowRequest, FlowEntry, readAggregate } from '../../../../../src/drivers/ovs/openflow/flow-stats.js';
import { encodeGroupDelete, encodeGroupMod, readGroupDesc } from '../../../../../src/drivers/ovs/openflow/groups.js';
import type { Group } from '../../../../../src/drivers/ovs/openflow/groups.js';
import { encodeInstructions } from '../../../../../src/drivers/ovs/openflow/instructions.js';
import { encodeMatch } from '../../../../../src/drivers/ovs/openflow/match.js';
import { encodeBundleControl, encodeEchoReply, encodeHello, encodeSetAsync, encodeSetConfig, encodeSetPacketInFormat, readHello, writeBundleAdd } from '../../../../../src/drivers/ovs/openflow/messages.js';
import { encodeMeterDelete, encodeMeterMod, readMeterConfig } from '../../../../../src/drivers/ovs/openflow/meters.js';
import type { Meter } from '../../../../../src/drivers/ovs/openflow/meters.js';
import { encodePacketOut, encodeResume, readPacketIn2 } from '../../../../../src/drivers/ovs/openflow/packets.js';
import { encodePortMod, readPortStatus } from '../../../../../src/drivers/ovs/openflow/ports.js';
import { readError, refused } from '../../../../../src/drivers/ovs/openflow/switch-errors.js';

const bytes = (...parts: readonly string[]): Buffer => Buffer.from(parts.join('').replaceAll(' ', ''), 'hex');
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex');

/** A multipart reply with such a body. */
function reply(version: number, type: number, body: Uint8Array): Buffer {
  const message = Buffer.alloc(16 + body.length);
  message.set([version, 19], 0);
  message.writeUInt16BE(message.length, 2);
  message.writeUInt16BE(type, 8);
  message.set(body, 16);
  return message;
}

test('a flow', () => {
  const match = encodeMatch([{ field: 'in_port', value: 5 }]);
  const instructions = encodeInstructions({ goto: 3 });
  expect(hex(encodeFlowMod({ command: 'add', table: 2, priority: 100, cookie: 0x0102n, idleTimeout: 3, hardTimeout: 4, importance: 5, flags: 1, match, instructions }, OF15))).toBe(
    '060e004800000000' + '0000000000000102' + '0000000000000000' + '02000003' + '00040064' + 'ffffffffffffffffffffffff' + '00010005' + '0001000c800000040000000500000000' + '0001000803000000',
  );
  expect(hex(encodeFlowMod(deleteByCookie(0x10n, 0xf0n), OF14))).toBe('050e003800000000' + '0000000000000010' + '00000000000000f0' + 'ff030000' + '00008000' + 'ffffffffffffffffffffffff' + '00000000' + '0001000400000000');
  const writer = new ByteWriter(16);
  writeFlowMod(writer, { command: 'modify_strict', table: 1 }, OF15);
  const first = writer.length;
  writeFlowMod(writer, { command: 'delete_strict', table: 1 }, OF15);
  expect(writer.length).toBe(first * 2);
  expect([writer.view()[25], writer.view()[first + 25]]).toEqual([2, 4]);
  expect(() => encodeFlowMod({ command: 'add', table: 256 }, OF15)).toThrow(expect.objectContaining({ code: 'E_INVALID' }));
  expect(() => encodeFlowMod({ command: 'add', table: 0, priority: 65536 }, OF15)).toThrow(expect.objectContaining({ code: 'E_INVALID' }));
  const long = new ByteWriter();
  writeFlowMod(long, { command: 'add', table: 0 }, OF15);
  const before = long.length;
  expect(() => writeFlowMod(long, { command: 'add', table: 0, instructions: new Uint8Array(0x1_0000) }, OF15)).toThrow(expect.objectContaining({ code: 'E_INVALID' }));
  expect(long.length).toBe(before);
});

test('flows of a dump, in both versions', () => {
  const match = encodeMatch([{ field: 'reg0', value: 1 }]);
  const instructions = encodeInstructions({ apply: [{ type: 'output', port: 1 }] });
  const stats = '0000 0034 80020008 0000000500000000 80020208 0000000100000000 80020808 0000000000000007 80020a08 0000000000000063 00000000';
  const body15 = Buffer.concat([bytes('0000 0000 03 00 0064 0001 0002 0001 0004 00000000000000ff'), match, bytes(stats), instructions]);
  body15.writeUInt16BE(body15.length, 0);
  const read = (version: typeof OF14 | typeof OF15, message: Buffer): unknown[] => {
    const seen: unknown[] = [];
    new FlowEntry(version).forEach(message, ({ table, priority, idleTimeout, hardTimeout, flags, importance, cookie, match: m, instructions: i, counters: { packets, bytes: count, duration } }) =>
      seen.push({ table, priority, idleTimeout, hardTimeout, flags, importance, cookie, match: hex(m), instructions: hex(i), counters: { packets, bytes: count, duration } }));
    return seen;
  };
  const expected = { table: 3, priority: 100, idleTimeout: 1, hardTimeout: 2, flags: 1, importance: 4, cookie: 255n, match: hex(match), instructions: hex(instructions), counters: { packets: 7n, bytes: 99n, duration: 5 } };
  expect(read(OF15, reply(OF15, MULTIPART.FLOW, Buffer.concat([body15, body15])))).toEqual([expected, expected]);
  const body14 = Buffer.concat([bytes('0000 03 00 00000005 00000000 0064 0001 0002 0001 0004 0000 00000000000000ff 0000000000000007 0000000000000063'), match, instructions]);
  body14.writeUInt16BE(body14.length, 0);
  expect(read(OF14, reply(OF14, MULTIPART.FLOW, body14))).toEqual([expected]);
  expect(read(OF15, reply(OF15, MULTIPART.FLOW, Buffer.alloc(0)))).toEqual([]);
  expect(hex(buildFlowRequest(OF15, { table: 4, cookie: 1n, cookieMask: 3n })).slice(16)).toBe('0001000000000000' + '04000000ffffffffffffffff00000000' + '0000000000000001' + '0000000000000003' + '0001000400000000');
});

test('sums', () => {
  expect(readAggregate(reply(OF15, MULTIPART.AGGREGATE, bytes('0000 0024 80020808 0000000000000007 80020a08 0000000000000063 80020604 00000002 00000000')), OF15)).toMatchObject({ packets: 7n, bytes: 99n, flows: 2 });
  expect(readAggregate(reply(OF14, MULTIPART.AGGREGATE, bytes('0000000000000007 0000000000000063 00000002 00000000')), OF14)).toEqual({ packets: 7n, bytes: 99n, flows: 2 });
});

const group: Group = {
  id: 7, type: 'fast_failover',
  buckets: [{ id: 0, actions: [{ type: 'output', port: 1 }], watchPort: 3 }, { id: 1, actions: [], weight: 2, watchGroup: 4 }],
};

test('groups, in both versions', () => {
  const read = (version: typeof OF14 | typeof OF15, body: Buffer): Group[] => {
    const groups: Group[] = [];
    readGroupDesc(reply(version, MULTIPART.GROUP_DESC, body), version, (one) => groups.push(one));
    return groups;
  };
  const mod15 = encodeGroupMod('add', group, OF15);
  expect(hex(mod15.subarray(0, 24))).toBe(`060f${mod15.length.toString(16).padStart(4, '0')}00000000` + '00000300' + '00000007' + '0038' + '0000' + 'ffffffff');
  const entry15 = Buffer.concat([bytes('0000 03 00 00000007 0038 000000000000'), mod15.subarray(24)]);
  entry15.writeUInt16BE(entry15.length, 0);
  expect(read(OF15, entry15)).toEqual([group]);
  const entry14 = Buffer.concat([bytes('0000 03 00 00000007'), encodeGroupMod('modify', group, OF14).subarray(16)]);
  entry14.writeUInt16BE(entry14.length, 0);
  expect(read(OF14, entry14)).toEqual([{ ...group, buckets: group.buckets.map(({ id: _, ...bucket }) => bucket) }]);
  expect(hex(encodeGroupDelete(9, OF15))).toBe('060f001800000000' + '0002000000000009' + '00000000ffffffff');
  expect(hex(encodeGroupMod('put', { id: 1, type: 'all', buckets: [] }, OF15)).slice(16, 20)).toBe('8000');
});

test('meters', () => {
  const meter: Meter = { id: 5, unit: 'packets', burst: true, stats: true, bands: [{ rate: 10, burst: 20 }, { rate: 5 }] };
  const mod = encodeMeterMod('add', meter, OF15);
  expect(hex(mod)).toBe('061d003000000000' + '0000000e00000005' + '000100100000000a0000001400000000' + '00010010000000050000000000000000');
  const entry = Buffer.concat([bytes('0000 000e 00000005'), mod.subarray(16)]);
  entry.writeUInt16BE(entry.length, 0);
  const read: Meter[] = [];
  readMeterConfig(reply(OF15, MULTIPART.METER_CONFIG, entry), (one) => read.push(one));
  expect(read).toEqual([meter]);
  expect(hex(encodeMeterDelete(5, OF15))).toBe('061d001000000000' + '0002000000000005');
  expect(() => encodeMeterMod('modify', { ...meter, bands: [{ rate: -1 }] }, OF15)).toThrow(expect.objectContaining({ code: 'E_INVALID' }));
});

test('ports', () => {
  const port = '00000005 0028 0000 0102030405ff 0000 7669663100000000 0000000000000000 00000020 00000004';
  expect(readPortStatus(bytes('060c003800000000', '02 00000000000000', port))).toEqual({ reason: 'modify', port: { number: 5, name: 'vif1', mac: '01:02:03:04:05:ff', config: 32, state: 4 } });
  const whole = bytes('060c003800000000', '00 00000000000000', port.replace('7669663100000000 0000000000000000', '61'.repeat(16)));
  expect(readPortStatus(whole).port.name).toBe('a'.repeat(16));
  expect(() => readPortStatus(bytes('060c003800000000', '03 00000000000000', port))).toThrow(expect.objectContaining({ code: 'E_PARSE' }));
  expect(hex(encodePortMod({ port: 5, mac: '01:02:03:04:05:ff', config: 0, mask: 64 }, OF15))).toBe('0610002000000000' + '0000000500000000' + '0102030405ff0000' + '0000000000000040');
  for (const mac of ['', '01:02', '01:02:03:04:05:xx', '01:02:03:04:05:100']) expect(() => encodePortMod({ port: 5, mac, config: 0, mask: 0 }, OF15)).toThrow(expect.objectContaining({ code: 'E_INVALID' }));
});

test('a packet-in with everything, and its resume', () => {
  const properties = [
    '0000 000a aabbccddeeff 000000000000', '0001 0008 00000040', '0003 0005 07 000000', '0004 0010 00000000 0000000000000077', '0005 0005 01 000000', '0006 000c 80000004 00000003 00000000',
    '0007 0006 c0ff 0000', '0008 000c 00000000 01020304 00000000', '00ff 0008 12345678',
  ].map((text) => bytes(text));
  const message = Buffer.concat([bytes('0604 0000 00000000 00002320 0000001e'), ...properties]);
  const packet = readPacketIn2(message);
  expect({ ...packet, packet: hex(packet.packet), userdata: hex(packet.userdata), metadataBytes: hex(packet.metadataBytes), continuation: hex(packet.continuation ?? Buffer.alloc(0)) }).toEqual({
    packet: 'aabbccddeeff', fullLength: 64, table: 7, cookie: 0x77n, reason: 1, metadata: { fields: [{ field: 'in_port', value: 3 }], unknown: [] }, metadataBytes: '8000000400000003', userdata: 'c0ff', continuation: '01020304',
  });
  const resume = encodeResume(packet, OF15);
  expect(hex(resume.subarray(8, 16))).toBe('000023200000001c');
  expect(hex(resume.subarray(16))).toBe(hex(Buffer.concat(properties.filter((_, index) => index !== 6 && index !== 8))));
  expect(() => encodeResume({ ...packet, continuation: undefined }, OF15)).toThrow(expect.objectContaining({ code: 'E_INVALID' }));
  expect(() => readPacketIn2(bytes('0604 0000 00000000 00002320 0000001e', '0003 0005 07 000000'))).toThrow(expect.objectContaining({ code: 'E_PARSE' }));
});

test('packet-out, in both versions', () => {
  const out = { packet: bytes('aabbcc'), inPort: PORT.CONTROLLER, actions: [{ type: 'output', port: 5 }] } as const;
  expect(hex(encodePacketOut({ ...out, pipeline: [{ field: 'reg1', value: 1 }] }, OF15))).toBe(
    '060d004300000000' + 'ffffffff00100000' + '0001002080000004fffffffd' + '80010110000000000000000100000000ffffffff' + '00000010000000050000000000000000' + 'aabbcc',
  );
  expect(hex(encodePacketOut(out, OF14))).toBe('050d002b00000000' + 'fffffffffffffffd' + '0010000000000000' + '00000010000000050000000000000000' + 'aabbcc');
  expect(() => encodePacketOut({ ...out, pipeline: [{ field: 'reg1', value: 1 }] }, OF14)).toThrow(expect.objectContaining({ code: 'E_INVALID' }));
});

test('flow events', () => {
  const match = encodeMatch([{ field: 'reg0', value: 1 }]);
  const removed15 = Buffer.concat([bytes('060b0000 00000000', '03 02 0064 0001 0002 00000000000000ff'), match, bytes('0000 0028 80020008 0000000500000000 80020808 0000000000000007 80020a08 0000000000000063')]);
  const removed14 = Buffer.concat([bytes('050b0000 00000000', '00000000000000ff 0064 02 03 00000005 00000000 0001 0002 0000000000000007 0000000000000063'), match]);
  const expected = { table: 3, reason: 'delete', priority: 100, cookie: 255n, match: hex(match), packets: 7n, bytes: 99n, duration: 5 };
  for (const [version, message] of [[OF15, removed15], [OF14, removed14]] as const) {
    const event = readFlowRemoved(message, version);
    expect({ ...event, match: hex(event.match) }).toEqual(expected);
  }
  const instructions = encodeInstructions({ goto: 9 });
  const full = Buffer.concat([bytes('0000 0001 03 00 0001 0002 0064 00000000 00000000000000ff'), match, instructions]);
  full.writeUInt16BE(full.length, 0);
  const updates: FlowUpdate[] = [];
  readFlowUpdates(reply(OF15, MULTIPART.FLOW_MONITOR, Buffer.concat([full, bytes('0008 0004 00000011', '0004 0005', '0004 0006')])), (update) => updates.push(update));
  expect(updates).toEqual([
    { event: 'added', table: 3, reason: 'unknown', priority: 100, cookie: 255n, match, instructions },
    { event: 'own', xid: 17 },
    { event: 'paused' },
    { event: 'resumed' },
  ]);
  expect(() => readFlowUpdates(reply(OF15, MULTIPART.FLOW_MONITOR, bytes('0004 0009')), () => undefined)).toThrow(expect.objectContaining({ code: 'E_PARSE' }));
  expect(hex(encodeFlowMonitor({ id: 3, flags: 0x1f }, OF15)).slice(16)).toBe('0010000000000000' + '00000003ffffffffffffffff' + '001f' + 'ff00' + '0001000400000000');
});

test('hello, echo, configuration and bundles', () => {
  expect(hex(encodeHello([OF15, OF14]))).toBe('0600001000000000' + '0001000800000060');
  const offers = (message: Buffer): number[] => [1, 4, 5, 6, 7, 40].filter(readHello(message));
  expect(offers(bytes('0600001000000000', '0001000800000060'))).toEqual([5, 6]);
  expect(offers(bytes('0500000800000000'))).toEqual([1, 4, 5]);
  // Unknown parts are skipped.
  expect(offers(bytes('0600002000000000', '00070005ff000000', '0001000800000010'))).toEqual([4]);
  expect(() => readHello(bytes('0600000c00000000', '00010003'))).toThrow(expect.objectContaining({ code: 'E_PARSE' }));
  expect(hex(encodeEchoReply(bytes('0602000a00000007beef')))).toBe('0603000a00000007beef');
  expect(hex(encodeSetConfig({ flags: 0, missSendLength: 128 }, OF15))).toBe('0609000c0000000000000080');
  expect(hex(encodeSetPacketInFormat(OF15))).toBe('06040014000000000000232000000010' + '00000002');
  expect(hex(encodeSetAsync({ packetIn: 2, portStatus: 7, flowRemoved: 0 }, OF15))).toBe('061c002000000000' + '0001000800000002' + '0003000800000007' + '0005000800000000');
  expect(hex(encodeBundleControl(5, 4, 3, OF15))).toBe('0621001000000000' + '0000000500040003');
  const writer = new ByteWriter();
  writeBundleAdd(writer, 5, 3, 0x8000_0001, bytes('060e000800000000'), OF15);
  expect(hex(writer.view())).toBe('0622001880000001' + '0000000500000003' + '060e000880000001');
});

test('errors have the names that ovs-ofctl prints', () => {
  const error = (text: string): string => readError(bytes('0601000c00000000', text)).name;
  expect(error('00040009')).toBe('OFPBMC_BAD_PREREQ');
  expect(error('0011000d')).toBe('OFPBFC_MSG_FAILED');
  expect(error('ffff000f00002320')).toBe('NXBAC_BAD_CONJUNCTION');
  expect(error('ffff000f00001111')).toBe('experimenter 0x1111 type 15');
  expect(error('00040063')).toBe('type 4 code 99');
  expect(error('00630001')).toBe('type 99 code 1');
  expect(refused(readError(bytes('0601000c00000000', '00050001')), 'a flow')).toMatchObject({ code: 'E_LIMIT', retryable: false, message: 'the switch refused a flow (flow refused: OFPFMFC_TABLE_FULL)', context: { type: 5, code: 1, name: 'OFPFMFC_TABLE_FULL' } });
  expect(refused(readError(bytes('0601000c00000000', '0011000f')), 'a bundle')).toMatchObject({ code: 'E_IO', retryable: true });
});

test('a writer grows, and hands out only what was written', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.uint8Array({ maxLength: 100 }), fc.nat(0xffff)), { maxLength: 50 }), (parts) => {
      const writer = new ByteWriter(16);
      const expected: number[] = [];
      for (const part of parts) {
        if (typeof part === 'number') {
          writer.u16(part);
          expected.push(part >> 8, part & 255);
        } else {
          writer.put(part);
          expected.push(...part);
        }
      }
      expect([...writer.copy()]).toEqual(expected);
      const taken = writer.take();
      writer.u32(0xffff_ffff);
      expect([...taken]).toEqual(expected);
      expect(writer.length).toBe(4);
    }),
  );
});
