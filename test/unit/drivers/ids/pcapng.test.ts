import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { pcapngHeader, pcapngPacket } from '../../../../src/drivers/ids/pcapng.js';

interface Block { readonly type: number; readonly body: Uint8Array }
interface Option { readonly code: number; readonly value: Uint8Array }

/** Reads blocks and checks what every reader relies on: both lengths equal, multiples of four. */
function blocks(file: Uint8Array): Block[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const found: Block[] = [];
  for (let at = 0; at < file.length;) {
    const length = view.getUint32(at + 4, true);
    expect(length % 4).toBe(0);
    expect(length).toBeGreaterThanOrEqual(12);
    expect(view.getUint32(at + length - 4, true)).toBe(length);
    found.push({ type: view.getUint32(at, true), body: file.subarray(at + 8, at + length - 4) });
    at += length;
  }
  return found;
}
function options(bytes: Uint8Array): Option[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: Option[] = [];
  let at = 0;
  while (at < bytes.length) {
    const code = view.getUint16(at, true);
    const length = view.getUint16(at + 2, true);
    if (code === 0) break;
    found.push({ code, value: bytes.subarray(at + 4, at + 4 + length) });
    at += 4 + ((length + 3) & ~3);
  }
  expect(at + 4).toBe(bytes.length);
  return found;
}
const textOf = (list: readonly Option[], code: number): string | undefined => {
  const found = list.find((option) => option.code === code);
  return found === undefined ? undefined : new TextDecoder('utf-8', { fatal: true }).decode(found.value);
};

describe('pcapng', () => {
  test('a section with one Ethernet interface whose times are in ns', () => {
    const [section, description, ...more] = blocks(pcapngHeader({ interface: 'suricata-tap0', comment: 'alert ü', application: 'dfw-agent 1' }));
    expect(more).toEqual([]);
    expect(section?.type).toBe(0x0a0d0d0a);
    expect(section?.body.subarray(0, 8)).toEqual(Uint8Array.of(0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0));
    const of = options(section?.body.subarray(16) ?? new Uint8Array());
    expect([textOf(of, 1), textOf(of, 4)]).toEqual(['alert ü', 'dfw-agent 1']);
    expect(description?.type).toBe(1);
    const about = options(description?.body.subarray(8) ?? new Uint8Array());
    expect(textOf(about, 2)).toBe('suricata-tap0');
    expect(about.find(({ code }) => code === 9)?.value).toEqual(Uint8Array.of(9));
  });

  test('packets come back as they were', () => {
    fc.assert(fc.property(
      fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 0, max: 1_000 }), fc.option(fc.string({ unit: 'grapheme', minLength: 1 }), { nil: undefined }),
      (timeNs, frame, cut, comment) => {
        const [block, ...more] = blocks(pcapngPacket({ timeNs, length: frame.length + cut, frame, ...(comment === undefined ? {} : { comment }) }));
        expect(more).toEqual([]);
        const body = block?.body ?? new Uint8Array();
        const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
        expect(block?.type).toBe(6);
        expect((BigInt(view.getUint32(4, true)) << 32n) | BigInt(view.getUint32(8, true))).toBe(timeNs);
        expect([view.getUint32(0, true), view.getUint32(12, true), view.getUint32(16, true)]).toEqual([0, frame.length, frame.length + cut]);
        expect(body.subarray(20, 20 + frame.length)).toEqual(frame);
        const rest = body.subarray(20 + ((frame.length + 3) & ~3));
        if (comment === undefined) expect(rest).toHaveLength(0);
        else expect(textOf(options(rest), 1)).toBe(new TextDecoder().decode(new TextEncoder().encode(comment)));
      },
    ));
  });

  test('a comment too long for its option is cut between characters', () => {
    const [block] = blocks(pcapngPacket({ timeNs: 0n, length: 0, frame: new Uint8Array(), comment: '€'.repeat(30_000) }));
    const text = textOf(options(block?.body.subarray(20) ?? new Uint8Array()), 1) ?? '';
    expect(text).toBe('€'.repeat(20_000));
  });
});
