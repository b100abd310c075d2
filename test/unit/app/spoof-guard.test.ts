import { describe, expect, it } from 'vitest';
import { guardOf } from '../../../src/app/spoof-guard.js';
import { spoofChain } from '../../../src/drivers/nftables/spoof-layout.js';
import { spoofFlows } from '../../../src/drivers/ovs/pipeline/spoof-flows.js';

const filter = { attachment: 'a', addresses: ['10.0.0.5'] };
const learns = (): boolean => true;
const declares = (): boolean => false;

describe('what a workload may send from', () => {
  it.each([
    ['off', declares, {}], ['off', learns, {}], ['declared', declares, { guard: ['10.0.0.5'] }], ['learned', declares, { guard: ['10.0.0.5'] }],
    // What was learned may be what somebody only says of himself.
    ['declared', learns, { guard: [] }], ['learned', learns, { guard: ['10.0.0.5'], strict: true }],
  ] as const)('%s', (mode, by, expected) => expect(guardOf({ mode, learns: by }, filter)).toEqual(expected));
});

describe('while nothing is known', () => {
  it('a strict guard refuses, another one checks nothing', () => {
    const guarded = { number: 1, interface: 'tap0', interfaceIndex: 4, mac: '', addresses: [] };
    expect(spoofChain(guarded)).toBeUndefined();
    expect(spoofChain({ ...guarded, strict: true })?.rules.map(({ comment }) => comment).filter((text) => text.includes('not declared'))).toHaveLength(6);
    const port = { number: 1, port: 4, mac: '', addresses: [], passed: [] };
    const drops = (strict: boolean): number => spoofFlows({ ...port, strict }).filter(({ actions }) => actions.length === 0).length;
    expect([drops(false), drops(true)]).toEqual([0, 4]);
  });
});
