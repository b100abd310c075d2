import fc from 'fast-check';
import { expect, test } from 'vitest';
import { OF14, OF15 } from '../../../../../src/drivers/ovs/openflow/constants.js';
import { fields, fieldNamed, fieldNumbered } from '../../../../../src/drivers/ovs/openflow/fields.js';
import { decodeMatch, encodeMatch } from '../../../../../src/drivers/ovs/openflow/match.js';
import type { MatchField } from '../../../../../src/drivers/ovs/openflow/match.js';
import { byOrder, validMatch } from '../../../../support/openflow-arbitraries.js';

const hex = (match: readonly MatchField[], version: typeof OF14 | typeof OF15 = OF15): string => encodeMatch(match, version).toString('hex');

test('a valid match is decoded to itself, in both versions', () => {
  fc.assert(
    fc.property(validMatch, fc.constantFrom(OF14, OF15), (match, version) => {
      const bytes = encodeMatch(match, version);
      expect(bytes.length % 8).toBe(0);
      const { fields: read, unknown } = decodeMatch(bytes);
      expect(unknown).toEqual([]);
      expect([...read].sort(byOrder)).toEqual(match.map(canonical));
      expect(encodeMatch(read, version)).toEqual(bytes);
    }),
    { numRuns: 2000 },
  );
});

/** The state of a connection always has a mask. */
function canonical(field: MatchField): MatchField {
  return field.field === 'ct_state' && field.mask === undefined ? { ...field, mask: 0xff } : field;
}

test('the order in which fields are given, bytes instead of numbers, and bits outside of the mask make no difference', () => {
  fc.assert(
    fc.property(validMatch.chain((match) => fc.tuple(fc.constant(match), fc.shuffledSubarray([...match], { minLength: match.length }))), ([match, shuffled]) => {
      const noisy = shuffled.map(({ field, value, mask }) => {
        if (mask === undefined) return { field, value: asBytes(field, value) };
        const noise = ((1n << BigInt(fieldNamed(field).bits)) - 1n) ^ BigInt(asNumber(mask));
        // Flags that the switch does not know are refused.
        return { field, value: asBytes(field, field === 'ct_state' ? value : BigInt(asNumber(value)) | noise), mask: asBytes(field, mask) };
      });
      expect(hex(noisy)).toBe(hex(match));
    }),
    { numRuns: 500 },
  );
});

function asNumber(value: MatchField['value']): bigint {
  return value instanceof Uint8Array ? BigInt(`0x${Buffer.from(value).toString('hex')}`) : BigInt(value);
}

function asBytes(field: MatchField['field'], value: MatchField['value']): Uint8Array {
  return Buffer.from(asNumber(value).toString(16).padStart(fieldNamed(field).bytes * 2, '0'), 'hex');
}

test('bytes that Open vSwitch 3.1 gave back', () => {
  expect(hex([])).toBe('0001000400000000');
  expect(hex([{ field: 'tcp_flags', value: 0x02, mask: 0x12 }, { field: 'eth_type', value: 0x800 }])).toBe('0001001780000a0208008000140106800055040002001200');
  expect(hex([{ field: 'reg1', value: 5, mask: 7 }, { field: 'reg2', value: 3 }, { field: 'reg3', value: 0xffff_ffff }])).toBe('0001002480010110000000000000000500000000000000078001020800000003ffffffff00000000');
  expect(hex([{ field: 'reg1', value: 5, mask: 7 }, { field: 'reg2', value: 3 }], OF14)).toBe('0001001800010308000000050000000700010404' + '00000003');
  expect(hex([{ field: 'conj_id', value: 7 }])).toBe('0001000c00014a040000000700000000');
  expect(hex([{ field: 'tun_flags', value: 1 }])).toBe('0001000c0001d1040001000100000000');
  expect(hex([{ field: 'ct_state', value: 0x22 }])).toBe('000100100001d30800000022000000ff');
  expect(hex([{ field: 'nd_target', value: 0xfe80n << 112n | 1n }, { field: 'nd_sll', value: 0x0102_0304_0506n }])).toBe(
    '0001003280000a0286dd800014013a80003a018780003e10fe80000000000000000000000000000180004006010203040506000000000000',
  );
  expect(hex([{ field: 'actset_output', value: 7 }], OF14)).toBe('00010010ffff56084f4e460000000007');
});

test('wide registers are the small ones', () => {
  const small = [{ field: 'reg4', value: 1 }, { field: 'reg5', value: 2 }, { field: 'reg6', value: 3 }, { field: 'reg7', value: 4 }] as const;
  const wide = (1n << 96n) | (2n << 64n) | (3n << 32n) | 4n;
  expect(hex([{ field: 'xxreg1', value: wide }])).toBe(hex(small));
  expect(hex([{ field: 'xreg2', value: (1n << 32n) | 2n }, { field: 'xreg3', value: (3n << 32n) | 4n }])).toBe(hex(small));
  expect(hex([{ field: 'xxreg1', value: wide, mask: 0xffff_ffffn << 64n }])).toBe(hex([{ field: 'reg5', value: 2 }]));
  expect(decodeMatch(encodeMatch([{ field: 'xxreg1', value: wide }])).fields).toEqual(small);
});

test('an Ethernet packet type is said once', () => {
  expect(hex([{ field: 'packet_type', value: 0 }])).toBe('0001000c800058040000000000000000');
  expect(hex([{ field: 'packet_type', value: 0 }, { field: 'eth_type', value: 0x800 }])).toBe(hex([{ field: 'eth_type', value: 0x800 }]));
  expect(hex([{ field: 'packet_type', value: 0 }], OF14)).toBe(hex([]));
  expect(() => hex([{ field: 'packet_type', value: 0x1_0800 }], OF14)).toThrow(expect.objectContaining({ code: 'E_INVALID' }));
});

test('a mask of nothing says nothing', () => {
  expect(hex([{ field: 'reg1', value: 5, mask: 0 }, { field: 'ip_src', value: 1, mask: 0 }, { field: 'ct_label', value: 1n, mask: 0n }])).toBe(hex([]));
});

test.each<[string, readonly MatchField[], string]>([
  ['a value with too many bits', [{ field: 'ip_dscp', value: 64 }, { field: 'eth_type', value: 0x800 }], 'ip_dscp has 6 bits: 64 does not fit'],
  ['a negative value', [{ field: 'reg0', value: -1 }], 'reg0 has 32 bits'],
  ['a fraction', [{ field: 'reg0', value: 1.5 }], 'reg0 has 32 bits'],
  ['a fraction in a wide field', [{ field: 'tun_id', value: 1.5 }], 'tun_id has 64 bits'],
  ['a wide value with too many bits', [{ field: 'eth_src', value: 1n << 48n }], 'eth_src has 48 bits'],
  ['bytes of a wrong length', [{ field: 'ip_src', value: new Uint8Array(3) }], '3 bytes does not fit'],
  ['a mask where none is possible', [{ field: 'in_port', value: 1, mask: 1 }], 'in_port can be matched only as a whole'],
  ['a field twice', [{ field: 'reg0', value: 1 }, { field: 'reg0', value: 2 }], 'reg0 is named twice'],
  ['a register twice, once as part of a wide one', [{ field: 'reg1', value: 1 }, { field: 'xreg0', value: 2n }], 'reg1 is named twice'],
  ['layers that contradict each other', [{ field: 'ip_src', value: 1 }, { field: 'ipv6_src', value: 1n }], 'ipv6_src needs eth_type 34525, not 2048'],
  ['protocols that contradict each other', [{ field: 'eth_type', value: 0x800 }, { field: 'tcp_src', value: 1 }, { field: 'udp_src', value: 1 }], 'udp_src needs ip_proto 17, not 6'],
  ['a port without saying which IP', [{ field: 'tcp_src', value: 1 }], 'needs eth_type 0x800 or 0x86dd'],
  ['a TTL of ARP', [{ field: 'eth_type', value: 0x806 }, { field: 'nw_ttl', value: 1 }], 'nw_ttl needs eth_type 0x800 or 0x86dd'],
  ['a neighbour without saying which message', [{ field: 'nd_target', value: 1n }], 'nd_target needs icmpv6_type 135 or 136'],
  ['a link-layer address of another message', [{ field: 'nd_sll', value: 1n }, { field: 'icmpv6_type', value: 136 }], 'nd_sll needs icmpv6_type 135, not 136'],
  ['a priority without tag', [{ field: 'vlan_vid', value: 0 }, { field: 'vlan_pcp', value: 1 }], 'vlan_pcp needs a vlan_vid with its present bit'],
  ['some bits of a priority', [{ field: 'vlan_tci', value: 0x3005, mask: 0x3fff }], 'priority bits of vlan_tci'],
  ['a tuple of a packet that may have none', [{ field: 'ct_state', value: 0x20, mask: 0x20 }, { field: 'ct_nw_src', value: 1 }], 'ct_nw_src needs a ct_state'],
  ['a state that does not exist', [{ field: 'ct_state', value: 0x100 }], 'ct_state has no flag 0x100'],
  ['the 16-bit port', [{ field: 'in_port_16', value: 1 }], 'match in_port'],
])('refused: %s', (_, match, message) => {
  expect(() => encodeMatch(match)).toThrow(expect.objectContaining({ code: 'E_INVALID', message: expect.stringContaining(message) as string }));
});

test('fields that we do not know keep their bytes', () => {
  const label = '80004404' + '00000005';
  const bytes = Buffer.from(`00010012${'80000a028847'}${label}000000000000`, 'hex');
  expect(decodeMatch(bytes)).toEqual({ fields: [{ field: 'eth_type', value: 0x8847 }], unknown: [Buffer.from(label, 'hex')] });
});

test.each([
  ['nothing', ''],
  ['too short', '000100'],
  ['another type', '0000000400000000'],
  ['a length below its header', '0001000300000000'],
  ['a length beyond its end', '0001000c8000'],
  ['something behind it', '00010004000000000000000000000000'],
  ['a field that is cut', '0001000900000000' + '80000a0208000000'],
  ['a field with a wrong length', '0001000980000a0108000000' + '00000000'],
])('malformed: %s', (_, text) => {
  expect(() => decodeMatch(Buffer.from(text, 'hex'))).toThrow(expect.objectContaining({ code: 'E_PARSE' }));
});

test('every field is found by each of its numbers, and no two fields share one', () => {
  const seen = new Map<string, string>();
  for (const field of fields()) {
    for (const number of [field.nxm, field.oxm14, field.oxm15]) {
      if (number === undefined) continue;
      expect(fieldNumbered(number.class, number.field, number.experimenter ?? 0)).toBe(field);
      const key = `${String(number.class)}:${String(number.field)}:${String(number.experimenter ?? 0)}`;
      expect(seen.get(key) ?? field.name).toBe(field.name);
      seen.set(key, field.name);
    }
    expect(field.bytes * 8).toBeGreaterThanOrEqual(field.bits);
  }
  expect(fieldNumbered(0x8000, 99, 0)).toBeUndefined();
});
