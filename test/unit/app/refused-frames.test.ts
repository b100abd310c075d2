/** Who gets an answer to a frame that a bridge refused, and who does not. */
import { beforeEach, describe, expect, it } from 'vitest';
import { RefusedFrames, type PortOwner } from '../../../src/app/refused-frames.js';
import { decodePacket } from '../../../src/model/packet-headers.js';
import type { NflogPacket } from '../../../src/native/binding.js';
import type { Logger } from '../../../src/platform/logger.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));
/** 10.0.2.3:56283 -> 10.0.2.4:80, SYN. */
const SYN = bytes('4500003c1c4640004006e25e0a0002030a000204dbdb0050000000010000000050022000000000000000000000000000000000000000000000000000');
const FROM = '02dd00000102';
const TO = '02dd00000202';
const HEADER = bytes(`${TO}${FROM}0800`);

interface Sent { readonly how: 'frame' | 'route'; readonly interfaceIndex: number; readonly bytes: Uint8Array }

let sent: Sent[];
let deliver: (packets: NflogPacket[]) => void;
let owners: Map<number, PortOwner>;
let refused: RefusedFrames;
let opens: number;
let failure: Error | undefined;

const packet = (change: Partial<NflogPacket> = {}): NflogPacket => ({
  prefix: 'dfw refused', indev: 11, outdev: 12, hook: 2, timestampMs: 0, length: SYN.length, ethertype: 0x0800, payload: SYN, link: HEADER, ...change,
});

beforeEach(() => {
  sent = [];
  owners = new Map();
  opens = 0;
  failure = undefined;
  refused = new RefusedFrames({
    reader: {
      start: (listener) => {
        opens += 1;
        if (failure !== undefined) throw failure;
        deliver = listener;
      },
      stop: () => undefined, lost: () => 0,
    },
    sender: {
      send: () => undefined, close: () => undefined,
      sendFrame: ({ interfaceIndex, frame }) => void sent.push({ how: 'frame', interfaceIndex, bytes: frame }),
      route: ({ interfaceIndex, packet: routed }) => void sent.push({ how: 'route', interfaceIndex, bytes: routed }),
    },
    ownerOf: (index) => owners.get(index), bridgeOf: (index) => (index === 12 ? 5 : 0), log: silent,
  });
});

const text = (data: Uint8Array): string => Buffer.from(data).toString('hex');

it('a reset goes out of the port that the segment came by, with the addresses turned', () => {
  refused.start();
  deliver([packet()]);
  expect(sent).toMatchObject([{ how: 'frame', interfaceIndex: 11 }]);
  const frame = sent[0]?.bytes ?? new Uint8Array(0);
  expect(text(frame.subarray(0, 14))).toBe(`${FROM}${TO}0800`);
  expect(decodePacket(0x0800, frame.subarray(14))).toMatchObject({ source: '10.0.2.4', destination: '10.0.2.3', sourcePort: 80, destinationPort: 56_283, tcpFlags: 0x14 });
});

it('a VLAN tag stays', () => {
  refused.start();
  deliver([packet({ link: bytes(`${TO}${FROM}810000070800`) })]);
  expect(text((sent[0]?.bytes ?? new Uint8Array(0)).subarray(0, 18))).toBe(`${FROM}${TO}810000070800`);
});

it('what the host sent is answered through its routing; a link-local address is on the bridge', () => {
  refused.start();
  deliver([packet({ indev: 0, link: new Uint8Array(0) })]);
  expect(sent).toMatchObject([{ how: 'route', interfaceIndex: 5 }]);
  expect(decodePacket(0x0800, sent[0]?.bytes ?? new Uint8Array(0))).toMatchObject({ source: '10.0.2.4', destination: '10.0.2.3', tcpFlags: 0x14 });
});

describe('at a port with a filter', () => {
  it.each([
    ['its declared MAC address: answered', { mac: '02:dd:00:00:02:02', addresses: [] }, 1],
    ['another MAC address, flooded: not', { mac: '02:dd:00:00:03:02', addresses: ['10.0.2.4'] }, 0],
    ['no MAC address declared, its IP address: answered', { mac: '', addresses: ['10.0.2.4'] }, 1],
    ['no MAC address declared, another IP address: not', { mac: '', addresses: ['10.0.2.9'] }, 0],
    ['nothing declared: not', { mac: '', addresses: [] }, 0],
  ])('%s', (_, owner, answers) => {
    owners.set(12, owner);
    refused.start();
    deliver([packet()]);
    expect(sent).toHaveLength(answers);
  });
});

it('multicast, resets and what was cut to pieces get none', () => {
  refused.start();
  const reset = SYN.slice();
  reset[33] = 0x04;
  deliver([packet({ link: bytes(`01005e000001${FROM}0800`) }), packet({ payload: reset }), packet({ payload: SYN.subarray(0, 10) }), packet({ payload: new Uint8Array(0) })]);
  expect(sent).toEqual([]);
});

it('is started once; a group that somebody else has is said, and tried again', () => {
  failure = new Error('EPERM');
  refused.start();
  expect(refused.degraded).toContain('rejected frames are not answered');
  failure = undefined;
  refused.start();
  refused.start();
  expect([refused.degraded, opens]).toEqual([undefined, 2]);
});
