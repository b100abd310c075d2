/** The OpenFlow codec and client against Open vSwitch itself: bytes that come back are the bytes that went out. */
import { inspect } from 'node:util';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { decodeActions } from '../../src/drivers/ovs/openflow/action-decoder.js';
import { OpenFlowConnection } from '../../src/drivers/ovs/openflow/connection.js';
import type { OpenFlowEvents, OpenFlowOptions } from '../../src/drivers/ovs/openflow/connection.js';
import { ALL_TABLES, OF14, OF15, PORT } from '../../src/drivers/ovs/openflow/constants.js';
import type { OpenFlowVersion } from '../../src/drivers/ovs/openflow/constants.js';
import { fieldNamed } from '../../src/drivers/ovs/openflow/fields.js';
import { encodeFlowMonitorDelete, MONITOR_FLAG } from '../../src/drivers/ovs/openflow/flow-events.js';
import type { FlowRemoved, FlowUpdate } from '../../src/drivers/ovs/openflow/flow-events.js';
import { deleteByCookie, encodeFlowMod, FLOW_FLAG } from '../../src/drivers/ovs/openflow/flow-mod.js';
import type { FlowMod } from '../../src/drivers/ovs/openflow/flow-mod.js';
import { buildAggregateRequest, readAggregate } from '../../src/drivers/ovs/openflow/flow-stats.js';
import { buildGroupDescRequest, buildGroupFeaturesRequest, buildGroupStatsRequest, encodeGroupDelete, encodeGroupMod, readGroupDesc, readGroupFeatures, readGroupStats } from '../../src/drivers/ovs/openflow/groups.js';
import type { Group } from '../../src/drivers/ovs/openflow/groups.js';
import { decodeInstructions, encodeInstructions } from '../../src/drivers/ovs/openflow/instructions.js';
import { decodeMatch, encodeMatch } from '../../src/drivers/ovs/openflow/match.js';
import type { MatchField } from '../../src/drivers/ovs/openflow/match.js';
import { buildTableStatsRequest, encodeFeaturesRequest, encodeGetConfig, encodeSetAsync, encodeSetConfig, encodeSetPacketInFormat, readConfig, readFeatures, readTableStats } from '../../src/drivers/ovs/openflow/messages.js';
import { buildMeterConfigRequest, buildMeterFeaturesRequest, buildMeterStatsRequest, encodeMeterDelete, encodeMeterMod, readMeterConfig, readMeterFeatures, readMeterStats } from '../../src/drivers/ovs/openflow/meters.js';
import type { Meter } from '../../src/drivers/ovs/openflow/meters.js';
import { encodePacketOut, encodeResume } from '../../src/drivers/ovs/openflow/packets.js';
import type { PacketIn } from '../../src/drivers/ovs/openflow/packets.js';
import { buildPortDescRequest, encodePortMod, PORT_CONFIG, readPortDesc } from '../../src/drivers/ovs/openflow/ports.js';
import type { Port, PortStatus } from '../../src/drivers/ovs/openflow/ports.js';
import { isAgentError } from '../../src/model/errors.js';
import type { AgentError } from '../../src/model/errors.js';
import { systemClock } from '../../src/platform/clock.js';
import type { Logger } from '../../src/platform/logger.js';
import { eventually } from '../support/command.js';
import { matchField, MATCH_FIELDS, validMatch } from '../support/openflow-arbitraries.js';
import { TestSwitch } from '../support/ovs.js';
import { ACTIONS, MATCHES } from '../support/flow-corpus.js';
import type { CorpusFlow } from '../support/flow-corpus.js';

const quiet: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => quiet };
const METER: Meter = { id: 5, unit: 'packets', burst: true, stats: true, bands: [{ rate: 1000, burst: 2000 }] };
const GROUP: Group = { id: 7, type: 'select', buckets: [{ id: 0, weight: 3, actions: [{ type: 'output', port: 1 }] }, { id: 1, weight: 5, watchPort: 2, actions: [{ type: 'set_field', field: 'reg0', value: 1 }, { type: 'output', port: 2 }] }] };

let ovs: TestSwitch;
let open: OpenFlowConnection[] = [];

beforeAll(async () => {
  ovs = await TestSwitch.start({ ports: ['vif1', 'vif2'] });
});

afterEach(async () => {
  const connections = open;
  open = [];
  await Promise.all(connections.map((connection) => connection.stop()));
  const connection = await connect();
  await connection.bundle([encodeFlowMod({ command: 'delete', table: ALL_TABLES }, OF15), encodeGroupDelete(0xffff_fffc, OF15)]);
  await connection.sequence([encodeMeterDelete(0xffff_ffff, OF15)]);
  await connection.stop();
  open = [];
});

afterAll(async () => {
  await ovs.close();
});

async function connect(events: OpenFlowEvents = {}, more: Partial<OpenFlowOptions> = {}): Promise<OpenFlowConnection> {
  const connection = new OpenFlowConnection({ path: ovs.management, clock: systemClock, log: quiet, events, ...more });
  open.push(connection);
  await connection.start(AbortSignal.timeout(120_000));
  return connection;
}

interface ReadFlow {
  readonly cookie: bigint;
  readonly table: number;
  readonly priority: number;
  readonly match: string;
  readonly instructions: string;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

async function dump(connection: OpenFlowConnection): Promise<ReadFlow[]> {
  const flows: ReadFlow[] = [];
  const count = await connection.dumpFlows({}, (flow) => flows.push({ cookie: flow.cookie, table: flow.table, priority: flow.priority, match: hex(flow.match), instructions: hex(flow.instructions) }));
  expect(flows).toHaveLength(count);
  return flows.sort((a, b) => (a.cookie < b.cookie ? -1 : 1));
}

/** Flows of a corpus, each with its own priority and cookie. */
function flowMods(corpus: readonly CorpusFlow[], version: OpenFlowVersion): FlowMod[] {
  return corpus.map(({ match, instructions }, index) => ({
    command: 'add', table: 0, priority: index + 1, cookie: BigInt(index + 1), idleTimeout: 1000, hardTimeout: 2000, importance: 3, flags: FLOW_FLAG.SEND_REMOVED,
    match: encodeMatch(match, version), instructions: encodeInstructions(instructions, version),
  }));
}

async function written(connection: OpenFlowConnection, mods: readonly FlowMod[]): Promise<void> {
  await connection.bundle(mods.map((mod) => encodeFlowMod(mod, connection.version)));
}

function asRead(mods: readonly FlowMod[]): ReadFlow[] {
  return mods.map(({ cookie = 0n, table, priority = 0, match = Buffer.alloc(0), instructions = Buffer.alloc(0) }) => ({ cookie, table, priority, match: hex(match), instructions: hex(instructions) }));
}

async function prepare(connection: OpenFlowConnection): Promise<void> {
  await connection.sequence([encodeMeterMod('add', METER, connection.version), encodeGroupMod('put', GROUP, connection.version)]);
}

const CORPUS = [...MATCHES, ...ACTIONS];

test('every field and action comes back as the same bytes, and ovs-ofctl prints what was meant', async () => {
  const connection = await connect();
  expect(connection.version).toBe(OF15);
  await prepare(connection);
  const mods = flowMods(CORPUS, OF15);
  await written(connection, mods);
  expect(await dump(connection)).toEqual(asRead(mods));
  const printed = (await ovs.ofctl('dump-flows', '--no-stats', '--no-names', '--sort=priority')).trim().split('\n').map((line) => line.trim());
  const expected = CORPUS.map(({ text: [match, actions] }, index) => `cookie=0x${(index + 1).toString(16)}, idle_timeout=1000, hard_timeout=2000, send_flow_rem importance=3, priority=${index + 1}${match === '' ? '' : `,${match}`} actions=${actions}`);
  expect(printed).toEqual(expected);
});

test('OpenFlow 1.4: the same bytes come back, and mean the same', async () => {
  const connection = await connect({}, { versions: [OF14] });
  expect(connection.version).toBe(OF14);
  await prepare(connection);
  const mods = flowMods(CORPUS, OF14);
  await written(connection, mods);
  expect(await dump(connection)).toEqual(asRead(mods));
  const other = await connect();
  const meant = flowMods(CORPUS, OF15);
  expect(await dump(other)).toEqual(asRead(meant));
});

test('every field, exact and masked, comes back as the same bytes', async () => {
  const connection = await connect();
  const random = fc.sample(fc.tuple(...MATCH_FIELDS.map((name) => fc.tuple(matchField(name), matchField(name), matchField(name)))), 3).flat(2);
  const needs: Partial<Record<string, readonly MatchField[]>> = {
    ip: [{ field: 'eth_type', value: 0x0800 }], tcp: [{ field: 'eth_type', value: 0x86dd }], udp: [{ field: 'eth_type', value: 0x86dd }], sctp: [{ field: 'eth_type', value: 0x0800 }],
    nd: [{ field: 'icmpv6_type', value: 135 }], ct: [{ field: 'eth_type', value: 0x0800 }, { field: 'ct_state', value: 0x22, mask: 0x32 }],
    ct4: [{ field: 'ct_state', value: 0x22, mask: 0x32 }], ct6: [{ field: 'ct_state', value: 0x22, mask: 0x32 }],
  };
  const matches = random.filter(acceptable).map((one) => [...(needs[fieldNamed(one.field).prerequisite] ?? []).filter(({ field }) => field !== one.field), one, ...((one.field === 'ct_tp_src' || one.field === 'ct_tp_dst') ? [{ field: 'ct_nw_proto', value: 6 } as const] : [])]);
  await expectSame(connection, matches, OF15);
});

/** Values that a switch refuses or cannot tell apart are left out: tags without their present bit, connection states that are not defined, packets of other layers. */
function acceptable({ field, value, mask }: MatchField): boolean {
  if (field === 'vlan_vid') return (Number(value) & 0x1000) !== 0 && (Number(mask ?? 0x1fff) & 0x1000) !== 0;
  if (field === 'ct_state') return mask !== undefined && Number(mask) < 256;
  if (field === 'packet_type') return value === 0;
  return field !== 'eth_type' || Number(value) >= 0x600;
}

test('random matches come back as the same bytes, in both versions', async () => {
  for (const version of [OF15, OF14] as const) {
    const connection = await connect({}, { versions: [version] });
    await expectSame(connection, fc.sample(validMatch, 600), version);
    await connection.bundle([encodeFlowMod({ command: 'delete', table: ALL_TABLES }, version)]);
  }
});

async function expectSame(connection: OpenFlowConnection, matches: readonly (readonly MatchField[])[], version: OpenFlowVersion): Promise<void> {
  const mods = matches.map((match, index): FlowMod => ({ command: 'add', table: 1, priority: index + 1, cookie: BigInt(index + 1), match: encodeMatch(match, version), instructions: Buffer.alloc(0) }));
  try {
    await written(connection, mods);
  } catch (error) {
    throw new Error(`refused: ${inspect(matches[Number(isAgentError(error) ? error.context['index'] : -1)])}`, { cause: error });
  }
  const read = await dump(connection);
  const wanted = asRead(mods);
  const different = wanted.flatMap((flow, index) => (read[index]?.match === flow.match ? [] : [{ match: matches[index], wrote: flow.match, read: read[index]?.match }]));
  expect(different).toEqual([]);
  expect(read).toEqual(wanted);
}

test('a refused bundle changes nothing and names the culprit', async () => {
  const connection = await connect();
  await written(connection, [{ command: 'add', table: 0, priority: 1, cookie: 1n }]);
  const before = await dump(connection);
  const good = (priority: number): Buffer => encodeFlowMod({ command: 'add', table: 0, priority, cookie: 9n }, OF15);
  const missing = encodeFlowMod({ command: 'add', table: 0, priority: 5, instructions: encodeInstructions({ apply: [{ type: 'group', group: 99 }] }) }, OF15);
  await expect(connection.bundle([good(2), good(3), missing, good(4)])).rejects.toMatchObject({ code: 'E_IO', retryable: false, context: { index: 2, name: 'OFPBAC_BAD_OUT_GROUP', type: 2, code: 9 } });
  expect(await dump(connection)).toEqual(before);
  // This one is refused when it is added, before any commit.
  const malformed = encodeFlowMod({ command: 'add', table: 0, priority: 6, match: Buffer.from('0001000e8000160400000001000080000000000000000000'.slice(0, 32), 'hex') }, OF15);
  await expect(connection.bundle([good(2), malformed, good(4)])).rejects.toMatchObject({ context: { index: 1, type: 4 } });
  expect(await dump(connection)).toEqual(before);
  // The last of many, of a bundle of several chunks.
  function* many(): Generator<Buffer> {
    for (let index = 0; index < 5000; index += 1) yield good(index + 10);
    yield missing;
  }
  await expect(connection.bundle(many())).rejects.toMatchObject({ context: { index: 5000 } });
  expect(await dump(connection)).toEqual(before);
  // What the caller's iteration throws discards as well, and the connection goes on.
  function* broken(): Generator<Buffer> {
    yield good(2);
    throw new RangeError('mine');
  }
  await expect(connection.bundle(broken())).rejects.toThrow(RangeError);
  const stop = new AbortController();
  function* aborted(): Generator<Buffer> {
    yield good(2);
    stop.abort();
  }
  await expect(connection.bundle(aborted(), { signal: stop.signal })).rejects.toMatchObject({ code: 'E_CANCELLED' });
  expect(await dump(connection)).toEqual(before);
  expect(await connection.bundle([good(2), good(3)])).toBe(2);
  expect(await connection.bundle([])).toBe(0);
  expect(await dump(connection)).toHaveLength(3);
});

test('a sequence does what it can and names the first that was refused', async () => {
  const connection = await connect();
  const meter = (id: number): Buffer => encodeMeterMod('add', { ...METER, id }, OF15);
  await expect(connection.sequence([meter(1), meter(1), meter(2), meter(2)])).rejects.toMatchObject({ context: { index: 1, name: 'OFPMMFC_METER_EXISTS' } });
  const meters: Meter[] = [];
  await connection.multipart(buildMeterConfigRequest(OF15), (part) => readMeterConfig(part, (one) => meters.push(one)));
  expect(meters.map(({ id }) => id).sort((x, y) => x - y)).toEqual([1, 2]);
});

test('bundles and requests at the same time do not mix', async () => {
  const connection = await connect();
  const add = (table: number, count: number): Buffer[] => Array.from({ length: count }, (_, index) => encodeFlowMod({ command: 'add', table, priority: index, cookie: BigInt(table) }, OF15));
  const bad = encodeFlowMod({ command: 'add', table: 254, priority: 1, instructions: encodeInstructions({ goto: 254 }) }, OF15);
  const results = await Promise.allSettled([
    connection.bundle(add(1, 2000)),
    connection.bundle([...add(2, 2000), bad]),
    connection.bundle(add(3, 2000)),
    connection.barrier(),
    connection.dumpFlows({}, () => undefined),
    connection.request(encodeFeaturesRequest(OF15)),
  ]);
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'fulfilled', 'fulfilled']);
  expect(results[1]).toMatchObject({ reason: { context: { index: 2000 } } });
  expect(await connection.dumpFlows({ table: 2 }, () => undefined)).toBe(0);
  expect(await connection.dumpFlows({ cookie: 3n, cookieMask: 0xffn }, () => undefined)).toBe(2000);
  const aggregate = readAggregate((await connection.request(buildAggregateRequest(OF15, { table: 1 }))).bytes, OF15);
  expect(aggregate).toMatchObject({ flows: 2000, packets: 0n });
  await connection.bundle([encodeFlowMod(deleteByCookie(1n, 0xffn), OF15)]);
  expect(await connection.dumpFlows({}, () => undefined)).toBe(2000);
});

test('tables, ports, groups, meters and the configuration can be read', async () => {
  for (const version of [OF15, OF14] as const) {
    const connection = await connect({}, { versions: [version] });
    await prepare(connection);
    const ports: Port[] = [];
    await connection.multipart(buildPortDescRequest(version), (part) => readPortDesc(part, (port) => ports.push(port)));
    expect(ports.map(({ name, number }) => ({ name, number })).sort((a, b) => a.number - b.number)).toEqual([{ name: 'vif1', number: ovs.port('vif1').ofport }, { name: 'vif2', number: ovs.port('vif2').ofport }, { name: 'br-int', number: PORT.LOCAL }]);
    expect(ports.every(({ mac }) => /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac))).toBe(true);
    const groups: Group[] = [];
    await connection.multipart(buildGroupDescRequest(version), (part) => readGroupDesc(part, version, (group) => groups.push(group)));
    expect(groups.map(({ buckets, ...rest }) => ({ ...rest, buckets: buckets.map(({ id: _, ...bucket }) => bucket) }))).toEqual([{ ...GROUP, buckets: GROUP.buckets.map(({ id: _, ...bucket }) => bucket) }]);
    const groupStats: number[] = [];
    await connection.multipart(buildGroupStatsRequest(version), (part) => readGroupStats(part, (stats) => groupStats.push(stats.id, stats.buckets.length)));
    expect(groupStats).toEqual([7, 2]);
    expect(readGroupFeatures((await connection.request(buildGroupFeaturesRequest(version))).bytes).maximum.select).toBeGreaterThan(1000);
    const meters: Meter[] = [];
    await connection.multipart(buildMeterConfigRequest(version), (part) => readMeterConfig(part, (meter) => meters.push(meter)));
    expect(meters).toEqual([METER]);
    const meterStats: unknown[] = [];
    await connection.multipart(buildMeterStatsRequest(version), (part) => readMeterStats(part, (stats) => meterStats.push({ ...stats, duration: 0 })));
    expect(meterStats).toEqual([{ id: 5, flows: 0, packets: 0n, bytes: 0n, duration: 0, bands: [{ packets: 0n, bytes: 0n }] }]);
    expect(readMeterFeatures((await connection.request(buildMeterFeaturesRequest(version))).bytes).maximum).toBeGreaterThan(0);
    await connection.bundle([encodeFlowMod({ command: 'add', table: 3 }, version)]);
    const tables: { table: number; flows: number }[] = [];
    await connection.multipart(buildTableStatsRequest(version), (part) => readTableStats(part, ({ table, flows }) => tables.push({ table, flows })));
    expect(tables.filter(({ flows }) => flows > 0)).toEqual([{ table: 3, flows: 1 }]);
    expect(readFeatures((await connection.request(encodeFeaturesRequest(version))).bytes).tables).toBe(254);
    await connection.sequence([encodeSetConfig({ flags: 0, missSendLength: 128 }, version)]);
    expect(readConfig((await connection.request(encodeGetConfig(version))).bytes)).toEqual({ flags: 0, missSendLength: 128 });
    await connection.bundle([encodeFlowMod({ command: 'delete', table: ALL_TABLES }, version), encodeGroupDelete(GROUP.id, version)]);
    await connection.sequence([encodeMeterDelete(METER.id, version)]);
  }
});

/** Packets come to a connection that asked for them. */
async function connectForPackets(events: OpenFlowEvents): Promise<OpenFlowConnection> {
  const connection = await connect(events);
  await connection.sequence([encodeSetPacketInFormat(OF15), encodeSetConfig({ flags: 0, missSendLength: 0xffff }, OF15), encodeSetAsync({ packetIn: 0x3f, portStatus: 7, flowRemoved: 0x3f }, OF15)]);
  return connection;
}

/** One UDP datagram to an address, and its answer if one comes in time: prints it. */
const ASK = 'import socket,sys;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.settimeout(float(sys.argv[2]));s.sendto(b"ask",(sys.argv[1],7));print(s.recv(99).decode())';
/** Waits for a datagram, prints what it holds, and answers it. */
const ANSWER = 'import socket;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.settimeout(20);s.bind(("0.0.0.0",7));data,peer=s.recvfrom(99);print(data.decode(),peer[0]);s.sendto(b"answer",peer)';

test('packet-in, packet-out and resume', async () => {
  const packets: PacketIn[] = [];
  const connection = await connectForPackets({ packetIn: (packet) => packets.push(packet) });
  const [a, b] = [ovs.port('vif1'), ovs.port('vif2')];
  const ask = encodeMatch([{ field: 'in_port', value: a.ofport }, { field: 'eth_type', value: 0x0800 }, { field: 'udp_dst', value: 7 }]);
  const reply = encodeMatch([{ field: 'in_port', value: b.ofport }, { field: 'eth_type', value: 0x0800 }, { field: 'udp_src', value: 7 }]);
  await written(connection, [
    { command: 'add', table: 0, priority: 10, cookie: 0x77n, match: ask, instructions: encodeInstructions({ apply: [{ type: 'set_field', field: 'reg3', value: 0x1234 }, { type: 'controller', userdata: Buffer.from('c0ffee', 'hex') }] }) },
    { command: 'add', table: 5, match: encodeMatch([{ field: 'reg1', value: 42 }]), instructions: encodeInstructions({ apply: [{ type: 'output', port: b.ofport }] }) },
  ]);
  expect((await ovs.exec('vif1', 'python3', ['-c', ASK, b.ipv4, '0.1'])).code).not.toBe(0);
  const first = await eventually('a packet', () => Promise.resolve(packets[0]));
  expect(first).toMatchObject({ table: 0, cookie: 0x77n, reason: 1, continuation: undefined });
  expect(hex(first.userdata)).toBe('c0ffee');
  expect(first.metadata.fields).toEqual(expect.arrayContaining([{ field: 'in_port', value: a.ofport }, { field: 'reg3', value: 0x1234 }]));
  expect(hex(first.packet.subarray(0, 12))).toBe(`${b.mac}${a.mac}`.replaceAll(':', ''));
  expect(first.fullLength).toBe(first.packet.length);

  // On its way again, through a table that looks at a register. Many times: nobody says when the listener listens.
  const received = ovs.exec('vif2', 'python3', ['-c', ANSWER]);
  const out = { packet: first.packet, inPort: PORT.CONTROLLER, pipeline: [{ field: 'reg1', value: 42 }], actions: [{ type: 'resubmit', table: 5 }] } as const;
  const sending = setInterval(() => connection.send(encodePacketOut(out, OF15)), 100);
  try {
    expect((await received).stdout).toBe(`ask ${a.ipv4}\n`);
  } finally {
    clearInterval(sending);
  }

  // Paused, then resumed: the actions behind go on, and the answer comes.
  packets.length = 0;
  await written(connection, [
    { command: 'add', table: 0, priority: 20, match: ask, instructions: encodeInstructions({ apply: [{ type: 'controller', pause: true, userdata: Buffer.from('01', 'hex') }, { type: 'output', port: b.ofport }] }) },
    { command: 'add', table: 0, priority: 20, match: reply, instructions: encodeInstructions({ apply: [{ type: 'output', port: a.ofport }] }) },
  ]);
  const answering = ovs.exec('vif2', 'python3', ['-c', ANSWER]);
  const resumed = await eventually('the answer', async () => {
    const asking = ovs.exec('vif1', 'python3', ['-c', ASK, b.ipv4, '1']);
    const paused = await eventually('a paused packet', () => Promise.resolve(packets.find(({ continuation }) => continuation !== undefined)));
    packets.length = 0;
    connection.send(encodeResume(paused, OF15));
    const { code, stdout } = await asking;
    return code === 0 ? stdout : undefined;
  }, 20_000);
  expect(resumed).toBe('answer\n');
  expect((await answering).stdout).toBe(`ask ${a.ipv4}\n`);
});

test('ports and flows that change by others are told', async () => {
  const statuses: PortStatus[] = [];
  const updates: FlowUpdate[] = [];
  const removed: FlowRemoved[] = [];
  const refused: string[] = [];
  const connection = await connectForPackets({
    portStatus: (status) => statuses.push(status), flowUpdate: (update) => updates.push(update), flowRemoved: (flow) => removed.push(flow), refused: ({ name }) => refused.push(name),
  });
  const match = encodeMatch([{ field: 'reg0', value: 1 }]);
  const instructions = encodeInstructions({ apply: [{ type: 'output', port: 1 }] });
  await written(connection, [{ command: 'add', table: 0, priority: 1, cookie: 1n, match, instructions }]);
  await connection.monitorFlows({ id: 1, flags: MONITOR_FLAG.INITIAL | MONITOR_FLAG.ADD | MONITOR_FLAG.REMOVED | MONITOR_FLAG.MODIFY | MONITOR_FLAG.INSTRUCTIONS });
  expect(updates.map(summary)).toEqual([{ event: 'initial', table: 0, priority: 1, cookie: 1n, match: hex(match), instructions: hex(instructions) }]);
  updates.length = 0;
  await ovs.ofctl('add-flow', 'table=3,priority=7,cookie=5,reg0=1,actions=output:1');
  await ovs.ofctl('del-flows', 'table=3');
  await eventually('the changes', () => Promise.resolve(updates.length >= 2 ? true : undefined));
  expect(updates.map(summary)).toEqual([
    { event: 'added', table: 3, priority: 7, cookie: 5n, match: hex(match), instructions: hex(instructions) },
    { event: 'removed', table: 3, priority: 7, cookie: 5n, match: hex(match), instructions: hex(instructions) },
  ]);
  expect(updates[1]).toMatchObject({ reason: 'delete' });
  updates.length = 0;
  // Own changes come short.
  await written(connection, [{ command: 'add', table: 4, priority: 7, cookie: 6n, match, flags: FLOW_FLAG.SEND_REMOVED }]);
  await eventually('the own change', () => Promise.resolve(updates.length > 0 ? true : undefined));
  expect(updates.map(({ event }) => event)).toEqual(['own']);
  await connection.multipart(encodeFlowMonitorDelete(1, OF15), () => undefined).catch(() => undefined);
  await ovs.ofctl('del-flows', 'table=4');
  const gone = await eventually('the removed flow', () => Promise.resolve(removed[0]));
  expect({ ...gone, match: hex(gone.match), duration: 0 }).toEqual({ table: 4, reason: 'delete', priority: 7, cookie: 6n, match: hex(match), packets: 0n, bytes: 0n, duration: 0 });

  await ovs.addPort('vif3');
  const added = await eventually('the new port', () => Promise.resolve(statuses.find(({ reason, port }) => reason === 'add' && port.name === 'vif3')));
  expect(added.port.number).toBe(ovs.port('vif3').ofport);
  await connection.sequence([encodePortMod({ port: added.port.number, mac: added.port.mac, config: PORT_CONFIG.NO_FORWARD, mask: PORT_CONFIG.NO_FORWARD }, OF15)]);
  await eventually('the changed port', () => Promise.resolve(statuses.find(({ reason, port }) => reason === 'modify' && (port.config & PORT_CONFIG.NO_FORWARD) !== 0)));
  await ovs.removePort('vif3');
  await eventually('the end of the port', () => Promise.resolve(statuses.find(({ reason, port }) => reason === 'delete' && port.name === 'vif3')));

  connection.send(encodePacketOut({ packet: Buffer.alloc(64), inPort: PORT.CONTROLLER, actions: [{ type: 'group', group: 1234 }] }, OF15));
  await eventually('the refusal', () => Promise.resolve(refused.includes('OFPBAC_BAD_OUT_GROUP') ? true : undefined));
});

function summary(update: FlowUpdate): unknown {
  if (!('match' in update)) return update;
  const { event, table, priority, cookie, match, instructions } = update;
  return { event, table, priority, cookie, match: hex(match), instructions: hex(instructions) };
}

test('flows of others are decoded, whatever they hold', async () => {
  await ovs.addFlows([
    'table=9,priority=1,mpls,mpls_label=5,actions=pop_mpls:0x800,output:1',
    'table=9,priority=2,tcp,actions=multipath(eth_src,50,modulo_n,4,0,NXM_NX_REG0[0..1]),fin_timeout(idle_timeout=5),bundle(eth_src,0,hrw,ofport,members:1,2),sample(probability=5),output:1',
    'table=9,priority=3,dl_type=0x894f,nsh_si=1,actions=decap()',
  ]);
  const connection = await connect();
  const seen: string[] = [];
  await connection.dumpFlows({ table: 9 }, (flow) => {
    const { unknown } = decodeMatch(flow.match);
    const { apply = [] } = decodeInstructions(flow.instructions);
    seen[flow.priority] = `${String(unknown.length)} ${apply.map(({ type }) => type).join(' ')}`;
    // Unknown parts keep their bytes.
    expect(hex(encodeInstructions(decodeInstructions(flow.instructions)))).toBe(hex(flow.instructions));
    expect(decodeActions(flow.instructions.subarray(8))).toEqual(apply);
  });
  expect(seen.slice(1)).toEqual(['1 unknown output', '0 unknown unknown unknown unknown output', '1 unknown']);
});

test('a bridge that speaks other versions is named', async () => {
  await ovs.vsctl('set', 'bridge', 'br-int', 'protocols=OpenFlow14');
  try {
    await eventually('1.4', async () => ((await connect()).version === OF14 ? true : undefined));
    await ovs.vsctl('set', 'bridge', 'br-int', 'protocols=OpenFlow13');
    const error = await eventually('the refusal', async () => connect().then(() => undefined, (thrown: unknown) => (isAgentError(thrown) && !thrown.message.includes('close') ? thrown : undefined)));
    expect(['E_CONFIG', 'E_IO']).toContain(error.code);
  } finally {
    await ovs.vsctl('clear', 'bridge', 'br-int', 'protocols');
    await eventually('1.5', async () => ((await connect()).version === OF15 ? true : undefined));
  }
});

test('a switch that hangs or ends is noticed, and nobody waits for ever', async () => {
  const reasons: AgentError[] = [];
  const connection = await connect({ closed: (reason) => reasons.push(reason) }, { echoIntervalMs: 200, echoTimeoutMs: 800 });
  // Silence alone is no reason.
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect(reasons).toEqual([]);
  await ovs.pause('ovs-vswitchd');
  try {
    await expect(connection.barrier()).rejects.toMatchObject({ code: 'E_UNREACHABLE', retryable: true });
  } finally {
    await ovs.resume('ovs-vswitchd');
  }
  expect(reasons).toHaveLength(1);
  expect(connection.open).toBe(false);
  await expect(connection.barrier()).rejects.toMatchObject({ code: 'E_UNREACHABLE' });
  expect(() => connection.send(encodeFeaturesRequest(OF15))).toThrow(expect.objectContaining({ code: 'E_UNREACHABLE' }));

  const second = await eventually('the switch', () => connect({ closed: (reason) => reasons.push(reason) }));
  const waiting = second.dumpFlows({}, () => undefined).then(() => second.barrier());
  await ovs.pause('ovs-vswitchd');
  const request = second.barrier();
  const bundle = second.bundle([encodeFlowMod({ command: 'add', table: 0 }, OF15)]);
  const settled = Promise.allSettled([waiting, request, bundle]);
  await ovs.kill('ovs-vswitchd');
  const results = await settled;
  expect(results.slice(1).map((result) => (result.status === 'rejected' ? (result.reason as AgentError).code : 'none'))).toEqual(['E_UNREACHABLE', 'E_UNREACHABLE']);
  expect(reasons).toHaveLength(2);
  await expect(connect()).rejects.toMatchObject({ code: 'E_UNREACHABLE', retryable: true });
  await ovs.start();
  await eventually('the switch', () => connect());
});

test('stop and signal end what waits, without an event', async () => {
  const reasons: AgentError[] = [];
  const connection = await connect({ closed: (reason) => reasons.push(reason) });
  const waiting = connection.barrier();
  const stopped = connection.stop();
  await expect(waiting).rejects.toMatchObject({ code: 'E_CANCELLED' });
  await stopped;
  await connection.stop();
  const controller = new AbortController();
  const other = new OpenFlowConnection({ path: ovs.management, clock: systemClock, log: quiet, events: { closed: (reason) => reasons.push(reason) } });
  await other.start(controller.signal);
  const request = other.barrier();
  controller.abort();
  await expect(request).rejects.toMatchObject({ code: 'E_CANCELLED' });
  const third = await connect();
  const one = new AbortController();
  const cancelled = third.barrier(one.signal);
  one.abort();
  await expect(cancelled).rejects.toMatchObject({ code: 'E_CANCELLED' });
  await third.barrier();
  expect(reasons).toEqual([]);
});
