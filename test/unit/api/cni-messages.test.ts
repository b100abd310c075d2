import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CNI_FRAME_LIMIT, cniAnswer, cniFrame, frameText, readCniRequest } from '../../../src/api/cni-messages.js';
import { AgentError, isAgentError } from '../../../src/model/errors.js';

const key = { network: 'pods', containerId: 'c0ffee', vnic: 'eth0' };
const add = { version: 1, command: 'ADD', ...key, timeoutMs: 5000, pod: { namespace: 'shop', name: 'web-0' }, interface: 'veth1', mac: '0A:00:00:00:00:01', addresses: ['10.0.0.1', 'FD00:0::1', '10.0.0.1'] };
const read = (value: unknown): unknown => readCniRequest(JSON.stringify(value));

describe('requests', () => {
  it('are read in canonical form', () => {
    expect(read(add)).toEqual({
      command: 'ADD', timeoutMs: 5000, interface: { ...key, pod: { namespace: 'shop', name: 'web-0' }, interface: 'veth1', mac: '0a:00:00:00:00:01', addresses: ['10.0.0.1', 'fd00::1'] },
    });
    expect(read({ ...add, command: 'CHECK', mac: undefined, addresses: undefined })).toMatchObject({ command: 'CHECK', interface: { addresses: [] } });
    expect(read({ version: 1, command: 'DEL', ...key })).toEqual({ command: 'DEL', key });
    expect(read({ version: 1, command: 'GC', network: 'pods', valid: [{ containerId: 'a', vnic: 'eth0' }] })).toEqual({ command: 'GC', network: 'pods', valid: [{ network: 'pods', containerId: 'a', vnic: 'eth0' }] });
    expect(read({ version: 1, command: 'STATUS' })).toEqual({ command: 'STATUS' });
  });

  it.each<[string, Record<string, unknown>]>([
    ['version', { version: 2 }], ['command', { command: 'RESET' }], ['containerId', { containerId: '../x' }], ['vnic', { vnic: 'a b' }], ['pod.namespace', { pod: { namespace: 'A', name: 'x' } }],
    ['pod.name', { pod: { namespace: 'a' } }], ['interface', { interface: 'a/b' }], ['mac', { mac: 'x' }], ['addresses', { addresses: 'x' }], ['addresses[1]', { addresses: ['10.0.0.1', '10.0.0.1/24'] }],
    ['timeoutMs', { timeoutMs: -1 }],
  ])('are refused with their place: %s', (path, over) => {
    let refused: unknown;
    try {
      read({ ...add, ...over });
    } catch (error) {
      refused = error;
    }
    expect(refused).toMatchObject({ code: 'E_INVALID', path });
  });

  it('collect nothing when it is not said what is valid', () => {
    for (const over of [{}, { network: '' }, { network: 'pods' }, { network: 'pods', valid: {} }, { network: 'pods', valid: [{}] }, { valid: [] }]) {
      expect(() => read({ version: 1, command: 'GC', ...over })).toThrow(AgentError);
    }
  });

  it('never fail in another way', () => {
    const attempt = (text: string): void => {
      try {
        readCniRequest(text);
      } catch (error) {
        expect(isAgentError(error)).toBe(true);
      }
    };
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), attempt));
    fc.assert(fc.property(fc.record({ version: fc.constant(1), command: fc.constantFrom('ADD', 'CHECK', 'DEL', 'GC', 'STATUS') }), fc.dictionary(fc.constantFrom(...Object.keys(add), 'valid'), fc.jsonValue()), (head, rest) => {
      attempt(JSON.stringify({ ...add, ...rest, ...head }));
    }));
  });
});

describe('frames', () => {
  it('come back as they were, whatever the parts they came in', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme' }), fc.nat(), (text, cut) => {
      const frame = cniFrame(text);
      expect(frameText(frame)).toBe(text);
      expect(frameText(Buffer.concat([frame, Buffer.from('more')]))).toBe(text);
      expect(frameText(frame.subarray(0, cut % frame.length))).toBeUndefined();
    }));
  });

  it('have a limit, which holds before anything else was read', () => {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(CNI_FRAME_LIMIT + 1);
    expect(() => frameText(head)).toThrow(expect.objectContaining({ code: 'E_LIMIT' }));
  });
});

it('answers say why not', () => {
  expect(JSON.parse(cniAnswer())).toEqual({ ok: true });
  expect(JSON.parse(cniAnswer(new AgentError('E_KERNEL', 'no', { object: 'x' })))).toEqual({ ok: false, code: 'E_KERNEL', message: 'x: no' });
  expect(JSON.parse(cniAnswer(new Error('bug')))).toEqual({ ok: false, code: 'E_INTERNAL', message: 'bug' });
});
