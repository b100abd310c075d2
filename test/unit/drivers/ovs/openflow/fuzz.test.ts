/** Whatever a switch sends ends in a value or in an AgentError, never in another exception, and never without end. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeActions } from '../../../../../src/drivers/ovs/openflow/action-decoder.js';
import { OF14, OF15 } from '../../../../../src/drivers/ovs/openflow/constants.js';
import { readFlowRemoved, readFlowUpdates } from '../../../../../src/drivers/ovs/openflow/flow-events.js';
import { FlowEntry, readAggregate } from '../../../../../src/drivers/ovs/openflow/flow-stats.js';
import { MessageSplitter } from '../../../../../src/drivers/ovs/openflow/framing.js';
import { encodeGroupMod, readGroupDesc, readGroupFeatures, readGroupStats } from '../../../../../src/drivers/ovs/openflow/groups.js';
import { decodeInstructions, encodeInstructions } from '../../../../../src/drivers/ovs/openflow/instructions.js';
import { decodeMatch, decodeOxmList, encodeMatch } from '../../../../../src/drivers/ovs/openflow/match.js';
import { readMessage } from '../../../../../src/drivers/ovs/openflow/message.js';
import { readBundleControl, readConfig, readFeatures, readHello, readTableStats } from '../../../../../src/drivers/ovs/openflow/messages.js';
import { readMeterConfig, readMeterFeatures, readMeterStats } from '../../../../../src/drivers/ovs/openflow/meters.js';
import { readMultipart } from '../../../../../src/drivers/ovs/openflow/multipart.js';
import { readPacketIn2 } from '../../../../../src/drivers/ovs/openflow/packets.js';
import { readPortDesc, readPortStatus } from '../../../../../src/drivers/ovs/openflow/ports.js';
import { readError } from '../../../../../src/drivers/ovs/openflow/switch-errors.js';
import { isAgentError } from '../../../../../src/model/errors.js';
import { ACTIONS, MATCHES } from '../../../../support/flow-corpus.js';

const nothing = (): void => undefined;

/** Every getter, too. */
function flows(version: typeof OF14 | typeof OF15): (bytes: Buffer) => void {
  return (bytes) => new FlowEntry(version).forEach(bytes, ({ table, priority, cookie, match, instructions, counters }) => {
    decodeMatch(match);
    decodeInstructions(instructions);
    expect([table, priority, cookie, counters]).toHaveLength(4);
  });
}

const READERS: Readonly<Record<string, (bytes: Buffer) => unknown>> = {
  decodeMatch, decodeOxmList, decodeActions, decodeInstructions, readMessage, readHello, readFeatures, readConfig, readBundleControl, readMultipart, readError, readPacketIn2, readPortStatus,
  readGroupFeatures, readMeterFeatures,
  flows15: flows(OF15), flows14: flows(OF14),
  readAggregate15: (bytes) => readAggregate(bytes, OF15), readAggregate14: (bytes) => readAggregate(bytes, OF14),
  readFlowRemoved15: (bytes) => readFlowRemoved(bytes, OF15), readFlowRemoved14: (bytes) => readFlowRemoved(bytes, OF14),
  readFlowUpdates: (bytes) => readFlowUpdates(bytes, nothing), readTableStats: (bytes) => readTableStats(bytes, nothing), readPortDesc: (bytes) => readPortDesc(bytes, nothing),
  readGroupDesc15: (bytes) => readGroupDesc(bytes, OF15, nothing), readGroupDesc14: (bytes) => readGroupDesc(bytes, OF14, nothing), readGroupStats: (bytes) => readGroupStats(bytes, nothing),
  readMeterConfig: (bytes) => readMeterConfig(bytes, nothing), readMeterStats: (bytes) => readMeterStats(bytes, nothing),
  splitter: (bytes) => new MessageSplitter().push(bytes, nothing),
};

function expectValueOrRefusal(read: (bytes: Buffer) => unknown, bytes: Buffer): void {
  try {
    read(bytes);
  } catch (error) {
    expect(isAgentError(error, 'E_PARSE') ? 'E_PARSE' : error).toBe('E_PARSE');
  }
}

/** A reply of OpenFlow 1.5 with one flow. */
function flowReply(match: Buffer, instructions: Buffer): Buffer {
  const stats = Buffer.from('00000034' + '800200080000000500000000' + '800202080000000100000000' + '800208080000000000000007' + '80020a080000000000000063' + '00000000', 'hex');
  const message = Buffer.concat([Buffer.from('0613000000000001' + '0001000000000000', 'hex'), Buffer.alloc(24), match, stats, instructions]);
  message.writeUInt16BE(message.length, 2);
  message.writeUInt16BE(message.length - 16, 16);
  return message;
}

/** Real content, so that damage gets past the first check. */
const SEEDS: readonly Buffer[] = [
  ...MATCHES.map(({ match }) => encodeMatch(match)),
  ...ACTIONS.map(({ instructions }) => encodeInstructions(instructions)),
  ...ACTIONS.map(({ instructions }) => encodeInstructions(instructions).subarray(8)),
  encodeGroupMod('add', { id: 7, type: 'select', buckets: [{ weight: 1, actions: [{ type: 'output', port: 1 }] }] }, OF15),
  ...ACTIONS.map(({ match, instructions }) => flowReply(encodeMatch(match), encodeInstructions(instructions))),
  Buffer.from('060400480000000000002320' + '0000001e' + '0000000aaabbccddeeff000000000000' + '000300050700000000040010000000000000000000000077' + '0006000c800000040000000300000000', 'hex'),
];

const damaged = fc.constantFrom(...SEEDS).chain((seed) =>
  fc.tuple(fc.nat(seed.length), fc.array(fc.tuple(fc.nat(Math.max(0, seed.length - 1)), fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 7, 8, 255))), { maxLength: 4 }), fc.boolean()).map(([cut, changes, cutting]) => {
    const bytes = Buffer.from(seed);
    for (const [at, value] of changes) bytes[at] = value;
    return cutting ? bytes.subarray(0, cut) : bytes;
  }),
);

test('the undamaged reply is read', () => {
  const seen: bigint[] = [];
  new FlowEntry(OF15).forEach(flowReply(encodeMatch([]), encodeInstructions({ goto: 1 })), ({ counters, instructions }) => seen.push(counters.packets, BigInt(instructions.length)));
  expect(seen).toEqual([7n, 8n]);
});

test.each(Object.entries(READERS))('%s', (_, read) => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => expectValueOrRefusal(read, Buffer.from(bytes))), { numRuns: 1000 });
  fc.assert(fc.property(damaged, (bytes) => expectValueOrRefusal(read, bytes)), { numRuns: 2000 });
});

test('every truncation of real content', () => {
  for (const seed of SEEDS) {
    for (let length = 0; length <= seed.length; length += 1) {
      for (const read of Object.values(READERS)) expectValueOrRefusal(read, seed.subarray(0, length));
    }
  }
});

test('what was damaged and still decodes can be written again', () => {
  fc.assert(
    fc.property(damaged, (bytes) => {
      try {
        const first = decodeActions(bytes);
        const again = encodeInstructions({ apply: first });
        // What sets no bits is not written.
        const doing = first.filter((action) => action.type !== 'set_field' || action.mask === undefined || BigInt(action.mask as number | bigint) !== 0n);
        expect(decodeInstructions(again).apply ?? []).toHaveLength(doing.length);
      } catch (error) {
        expect(isAgentError(error)).toBe(true);
      }
    }),
    { numRuns: 5000 },
  );
});
