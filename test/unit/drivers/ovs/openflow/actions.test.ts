import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeActions } from '../../../../../src/drivers/ovs/openflow/action-decoder.js';
import { encodeActions } from '../../../../../src/drivers/ovs/openflow/action-encoder.js';
import type { Action, LearnSpec } from '../../../../../src/drivers/ovs/openflow/actions.js';
import { OF14, OF15, PORT } from '../../../../../src/drivers/ovs/openflow/constants.js';
import { fieldNamed } from '../../../../../src/drivers/ovs/openflow/fields.js';
import type { FieldName } from '../../../../../src/drivers/ovs/openflow/fields.js';
import { decodeInstructions, encodeInstructions } from '../../../../../src/drivers/ovs/openflow/instructions.js';
import { subfield } from '../../../../../src/drivers/ovs/openflow/oxm.js';
import type { Subfield } from '../../../../../src/drivers/ovs/openflow/oxm.js';
import { fieldValue, matchField } from '../../../../support/openflow-arbitraries.js';
import { ACTIONS } from '../../../../support/flow-corpus.js';

const u8 = fc.integer({ min: 0, max: 255 });
const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const u64 = fc.bigInt(0n, (1n << 64n) - 1n);
/** Counts that are left out when they are 0. */
const some16 = fc.integer({ min: 1, max: 0xffff });
const port = fc.oneof(fc.integer({ min: 1, max: 0xfeff }), fc.constantFrom(PORT.LOCAL, PORT.NORMAL, PORT.CONTROLLER));
const WRITABLE = ['eth_src', 'ip_dst', 'ipv6_src', 'tcp_dst', 'reg0', 'reg7', 'xreg3', 'xxreg1', 'metadata', 'tun_id', 'pkt_mark', 'vlan_pcp', 'nw_ttl', 'ct_mark', 'ct_label'] as const satisfies readonly FieldName[];
const writable = fc.constantFrom<FieldName>(...WRITABLE);

/** Part of a field, of at most so many bits. */
function part(most: number): fc.Arbitrary<Subfield> {
  return writable.chain((field) => {
    const { bits } = fieldNamed(field);
    return fc.integer({ min: 0, max: bits - 1 }).chain((offset) => fc.integer({ min: 1, max: Math.min(most, bits - offset) }).map((count) => subfield(field, offset, count)));
  });
}

function constant(bits: number): fc.Arbitrary<number | bigint> {
  return bits <= 32 ? fc.integer({ min: 0, max: 2 ** bits - 1 }) : fc.bigInt(0n, (1n << BigInt(bits)) - 1n);
}

/** Any of the keys. */
const ANY: { requiredKeys: never[] } = { requiredKeys: [] };

const flag = fc.constant(true as const);

const spec: fc.Arbitrary<LearnSpec> = part(64).chain(({ field, offset, bits }) => {
  const value = constant(bits);
  const target = fc.constantFrom<'match' | 'load'>('match', 'load').map((kind) => ({ kind, field, offset }));
  return fc.oneof(
    fc.record({ source: fc.record({ value }), target, bits: fc.constant(bits) }),
    fc.record({ source: fc.constant({ field, offset }), target, bits: fc.constant(bits) }),
    fc.record({ source: fc.constant({ field, offset }), target: fc.constant({ kind: 'output' as const }), bits: fc.constant(bits) }),
  );
});

const nat: fc.Arbitrary<Action> = fc
  .record({
    direction: fc.constantFrom<'source' | 'destination'>('source', 'destination'),
    ranges: fc.oneof(
      fc.record({ addresses: optionalLast(fc.constant(4 as const), fc.integer({ min: 1, max: 0xffff_ffff })) }),
      fc.record({ addresses: optionalLast(fc.constant(6 as const), fc.bigInt(1n, (1n << 128n) - 1n)), ports: fc.oneof(fc.record({ first: some16 }), fc.record({ first: some16, last: some16 })) }),
    ),
    flags: fc.record({ persistent: flag, hash: flag, random: flag }, ANY),
  })
  .map(({ direction, ranges, flags }) => ({ type: 'nat' as const, direction, ...flags, ...ranges }));

function optionalLast<F extends 4 | 6, V extends number | bigint>(family: fc.Arbitrary<F>, value: fc.Arbitrary<V>): fc.Arbitrary<{ family: F; first: V; last?: V }> {
  return fc.oneof(fc.record({ family, first: value }), fc.record({ family, first: value, last: value }));
}

const { action15, action14 } = fc.letrec<{ action15: Action; action14: Action; common: Action }>((tie) => {
  const nested = (name: 'action15' | 'action14'): fc.Arbitrary<Action[]> => fc.array(tie(name), { minLength: 1, maxLength: 3, depthIdentifier: 'actions' });
  const holding = (name: 'action15' | 'action14'): fc.Arbitrary<Action>[] => [
    nested(name).map((actions): Action => ({ type: 'clone', actions })),
    fc.tuple(
      fc.record({
        commit: flag, force: flag, zone: fc.oneof(some16, fc.constant(subfield('reg3', 8, 16))), table: fc.integer({ min: 0, max: 254 }), alg: fc.constantFrom(21, 69),
      }, ANY),
      fc.option(nested(name), { nil: undefined }),
    ).map(([options, actions]): Action => ({ type: 'ct', ...options, ...(actions === undefined ? {} : { actions }) })),
  ];
  return {
    common: fc.oneof<fc.Arbitrary<Action>[]>(
      port.map((number): Action => ({ type: 'output', port: number })),
      fc.tuple(port, fc.integer({ min: 1, max: 0xfffe })).map(([number, maxLength]): Action => ({ type: 'output', port: number, maxLength })),
      fc.record({ type: fc.constant('output_field' as const), source: part(32) }),
      fc.record({ type: fc.constant('output_truncated' as const), port: fc.integer({ min: 1, max: 0xfeff }), maxLength: u32 }),
      fc.record({ type: fc.constant('group' as const), group: u32 }),
      writable.chain((field) => fieldValue(field).map((value): Action => ({ type: 'set_field', field, value }))),
      part(128).chain((source) => fc.constant<Action>({ type: 'move', source, target: source })),
      fc.record({ port: fc.integer({ min: 1, max: 0xfeff }), table: u8 }, ANY).map((options): Action => ({ type: 'resubmit', ...options })),
      u8.map((table): Action => ({ type: 'resubmit', table, conntrackTuple: true })),
      fc.constantFrom<Action>({ type: 'ct_clear' }, { type: 'pop_vlan' }, { type: 'exit' }, { type: 'dec_ttl' }, { type: 'nat' }),
      nat,
      fc.integer({ min: 2, max: 64 }).chain((clauses) => fc.record({ type: fc.constant('conjunction' as const), id: u32, clause: fc.integer({ min: 1, max: clauses }), clauses: fc.constant(clauses) })),
      fc.record({
        maxLength: fc.integer({ min: 0, max: 0xfffe }), controllerId: some16, reason: fc.constantFrom(0, 2, 5), userdata: fc.uint8Array({ minLength: 1, maxLength: 20 }), pause: flag, meter: some16,
      }, ANY).map((options): Action => ({ type: 'controller', ...options })),
      fc.record({ type: fc.constant('push_vlan' as const), etherType: u16 }),
      fc.array(u16, { minLength: 2, maxLength: 5 }).map((controllers): Action => ({ type: 'dec_ttl', controllers })),
      fc.constantFrom(6, 14, 22).chain((length) => fc.uint8Array({ minLength: length, maxLength: length })).map((data): Action => ({ type: 'note', data })),
      fc.record({ type: fc.constantFrom<'stack_push' | 'stack_pop'>('stack_push', 'stack_pop'), part: part(128) }),
      fc.tuple(u16, part(1)).map(([length, target]): Action => ({ type: 'check_packet_larger', length, target })),
      fc.tuple(fc.constantFrom('symmetric_l4', 'symmetric_l3l4', 'symmetric_l3l4+udp'), fc.integer({ min: 1, max: 0xffff }), fc.integer({ min: 0, max: 0xffff }), part(17))
        .map(([fields, basis, largest, target]): Action => ({ type: 'multipath', fields, basis, modulus: Math.min(largest + 1, 2 ** target.bits), target })),
      fc.tuple(
        fc.record({ table: fc.integer({ min: 0, max: 254 }), priority: u16, specs: fc.array(spec, { maxLength: 4 }) }),
        fc.record({
          idleTimeout: some16, hardTimeout: some16, finIdleTimeout: some16, finHardTimeout: some16, cookie: u64.filter((cookie) => cookie !== 0n), sendFlowRemoved: flag, deleteLearned: flag, limit: some16, result: part(1),
        }, ANY),
      ).map(([required, options]): Action => ({ type: 'learn', ...required, ...options })),
      fc.uint8Array({ minLength: 4, maxLength: 4 }).map((data): Action => ({ type: 'unknown', bytes: Buffer.from([0, 99, 0, 8, ...data]) })),
    ),
    action15: fc.oneof(
      { maxDepth: 4, depthIdentifier: 'actions' },
      { arbitrary: tie('common'), weight: 8 },
      { arbitrary: writable.chain(matchField).map((one): Action => ({ type: 'set_field', ...one })), weight: 1 },
      { arbitrary: fc.record({ type: fc.constant('meter' as const), meter: u32 }), weight: 1 },
      ...holding('action15').map((arbitrary) => ({ arbitrary, weight: 1 })),
    ),
    action14: fc.oneof(
      { maxDepth: 4, depthIdentifier: 'actions' },
      { arbitrary: tie('common'), weight: 8 },
      { arbitrary: part(64).chain((target) => fc.bigInt(0n, (1n << BigInt(target.bits)) - 1n).map((value): Action => ({ type: 'load', target, value }))), weight: 1 },
      ...holding('action14').map((arbitrary) => ({ arbitrary, weight: 1 })),
    ),
  };
});

test.each([['1.5', OF15, action15] as const, ['1.4', OF14, action14] as const])('actions of OpenFlow %s are decoded to themselves', (_, version, arbitrary) => {
  const types = new Set<string>();
  fc.assert(
    fc.property(fc.array(arbitrary, { maxLength: 6 }), (actions) => {
      const bytes = encodeActions(actions, version);
      expect(bytes.length % 8).toBe(0);
      const read = decodeActions(bytes);
      expect(plain(read)).toEqual(plain(actions));
      expect(encodeActions(read, version)).toEqual(bytes);
      for (const { type } of actions) types.add(type);
    }),
    { numRuns: 3000 },
  );
  const [own, foreign] = version === OF15 ? ['meter', 'load'] : ['load', 'meter'];
  const all = [
    'output', 'output_field', 'output_truncated', 'group', 'set_field', 'move', 'resubmit', 'ct', 'ct_clear', 'nat', 'learn', 'conjunction', 'controller', 'clone', 'push_vlan', 'pop_vlan',
    'dec_ttl', 'note', 'stack_push', 'stack_pop', 'check_packet_larger', 'multipath', 'exit', 'unknown', own,
  ];
  expect([...types].sort()).toEqual(all.sort());
  expect(types.has(foreign)).toBe(false);
});

/** Buffers and other byte arrays alike. Constants of learn come back as a number or a bigint by their bytes, not by their bits. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'number' || typeof value === 'bigint') return BigInt(value);
  if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
  return value;
}

test('instructions are decoded to themselves', () => {
  const mask = u64.filter((bits) => bits !== 0n);
  const instructions = fc.tuple(
    fc.option(fc.array(action15, { minLength: 1, maxLength: 3 }), { nil: undefined }),
    fc.boolean(),
    fc.option(fc.array(action15, { minLength: 1, maxLength: 2 }), { nil: undefined }),
    fc.option(fc.tuple(u64, mask).map(([value, bits]) => ({ value: value & bits, mask: bits })), { nil: undefined }),
    fc.option(u8, { nil: undefined }),
  ).map(([apply, clear, write, metadata, goto]) => ({
    ...(apply === undefined ? {} : { apply }), ...(clear ? { clear } : {}), ...(write === undefined ? {} : { write }), ...(metadata === undefined ? {} : { metadata }), ...(goto === undefined ? {} : { goto }),
  }));
  fc.assert(
    fc.property(instructions, (value) => {
      const bytes = encodeInstructions(value);
      expect(plain(decodeInstructions(bytes))).toEqual(plain(value));
      expect(encodeInstructions(decodeInstructions(bytes))).toEqual(bytes);
    }),
    { numRuns: 500 },
  );
});

test('the corpus of the real switch is decoded to the bytes that it came from', () => {
  for (const { instructions } of ACTIONS) {
    for (const version of [OF15, OF14] as const) {
      const bytes = encodeInstructions(instructions, version);
      expect(encodeInstructions(decodeInstructions(bytes), version)).toEqual(bytes);
    }
  }
});

test('what OpenFlow 1.5 has one action for, 1.4 says in others', () => {
  const masked: Action = { type: 'set_field', field: 'reg0', value: 0x0050_0003, mask: 0x00f0_000f };
  expect(decodeActions(encodeActions([masked], OF15))).toEqual([masked]);
  expect(decodeActions(encodeActions([masked], OF14))).toEqual([
    { type: 'load', target: subfield('reg0', 0, 4), value: 3n },
    { type: 'load', target: subfield('reg0', 20, 4), value: 5n },
  ]);
  const load: Action = { type: 'load', target: subfield('ct_label', 60, 8), value: 0xabn };
  expect(decodeActions(encodeActions([load], OF15))).toEqual([{ type: 'set_field', field: 'ct_label', value: 0xabn << 60n, mask: 0xffn << 60n }]);
  expect(decodeActions(encodeActions([load], OF14))).toEqual([load]);
  const long: Action = { type: 'set_field', field: 'xxreg0', value: (1n << 100n) | 1n, mask: (1n << 101n) - 1n };
  expect(decodeActions(encodeActions([long], OF14))).toEqual([
    { type: 'load', target: subfield('xxreg0', 0, 64), value: 1n },
    { type: 'load', target: subfield('xxreg0', 64, 37), value: 1n << 36n },
  ]);
  expect(encodeInstructions({ apply: [{ type: 'meter', meter: 5 }, { type: 'output', port: 1 }] }, OF14).toString('hex')).toBe('0006000800000005' + '0004001800000000' + '00000010000000010000000000000000');
  expect(decodeInstructions(Buffer.from('0006000800000005', 'hex'))).toEqual({ apply: [{ type: 'meter', meter: 5 }] });
  expect(encodeActions([{ type: 'set_field', field: 'reg0', value: 1, mask: 0 }], OF15)).toHaveLength(0);
});

test.each<[string, Action, string]>([
  ['a clause beyond the last', { type: 'conjunction', id: 1, clause: 3, clauses: 2 }, 'no clause 3 of 2'],
  ['a conjunction of one', { type: 'conjunction', id: 1, clause: 1, clauses: 1 }, 'no clause 1 of 1'],
  ['a value that does not fit', { type: 'load', target: subfield('reg0', 0, 4), value: 16 }, 'does not fit into 4 bits'],
  ['bits beyond the field', { type: 'load', target: subfield('reg0', 30, 4), value: 1 }, 'reg0 has no bits 30..33'],
  ['no bits', { type: 'stack_push', part: { field: 'reg0', offset: 0, bits: 0 } }, 'reg0 has no bits'],
  ['different numbers of bits', { type: 'move', source: subfield('reg0'), target: subfield('reg1', 0, 16) }, 'move copies 32 bits to 16'],
  ['a zone of 8 bits', { type: 'ct', zone: subfield('reg0', 0, 8) }, 'a zone has 16 bits'],
  ['a result of two bits', { type: 'learn', table: 1, result: subfield('reg0', 0, 2), specs: [] }, 'one bit'],
  ['a constant output', { type: 'learn', table: 1, specs: [{ source: { value: 1 }, target: { kind: 'output' }, bits: 16 }] }, 'from a field'],
  ['a learned constant that does not fit', { type: 'learn', table: 1, specs: [{ source: { value: 2 }, target: { kind: 'match', field: 'reg0', offset: 0 }, bits: 1 }] }, 'does not fit into 1 bits'],
  ['a table that does not exist', { type: 'resubmit', table: 256 }, 'table has 8 bits'],
  ['a port that has no small number', { type: 'resubmit', port: 0x1_0000 }, 'has no 16-bit number'],
  ['an output of more than 64 bits', { type: 'output_field', source: subfield('xxreg0') }, 'at most 64 bits'],
  ['a remainder that does not fit', { type: 'multipath', fields: 'symmetric_l4', modulus: 17, target: subfield('reg0', 0, 4) }, 'does not fit'],
  ['two bits of a comparison', { type: 'check_packet_larger', length: 1, target: subfield('reg0', 0, 2) }, 'one bit'],
  ['ports without address', { type: 'nat', direction: 'source', ports: { first: 1 } }, 'needs an address'],
  ['too much to note', { type: 'note', data: new Uint8Array(0x1_0000) }, 'longer than 65535'],
])('refused: %s', (_, action, message) => {
  expect(() => encodeActions([action])).toThrow(expect.objectContaining({ code: 'E_INVALID', message: expect.stringContaining(message) as string }));
});

test('a meter inside of actions is refused in 1.4', () => {
  expect(() => encodeInstructions({ apply: [{ type: 'output', port: 1 }, { type: 'meter', meter: 1 }] }, OF14)).toThrow(expect.objectContaining({ code: 'E_INVALID' }));
});

test('actions nested without end are refused', () => {
  let bytes = Buffer.alloc(0);
  for (let depth = 0; depth < 40; depth += 1) {
    const header = Buffer.from('ffff00000000232000' + '2a000000000000', 'hex');
    header.writeUInt16BE(bytes.length + 16, 2);
    bytes = Buffer.concat([header, bytes]);
  }
  expect(() => decodeActions(bytes)).toThrow(expect.objectContaining({ code: 'E_PARSE', message: expect.stringContaining('nested too deep') as string }));
});

test('instructions that come twice or that we do not know are refused: nothing is lost silently', () => {
  expect(() => decodeInstructions(Buffer.from('0001000805000000' + '0001000806000000', 'hex'))).toThrow(expect.objectContaining({ code: 'E_PARSE' }));
  expect(() => decodeInstructions(Buffer.from('0009000800000000', 'hex'))).toThrow(expect.objectContaining({ code: 'E_PARSE' }));
  expect(() => decodeInstructions(Buffer.from('0001000700000000', 'hex'))).toThrow(expect.objectContaining({ code: 'E_PARSE' }));
});
