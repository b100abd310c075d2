/** Copies in table netdev dfw: which rules, in which chains, with which limits. What the kernel makes of them is tested end to end. */
import { describe, expect, it } from 'vitest';
import { copyRuleOf, copyRules, limitImages, type MirrorTarget } from '../../../../src/drivers/nftables/copy-rules.js';
import { netdevImage } from '../../../../src/drivers/nftables/netdev-layout.js';

const OF = { interface: 'veth0', interfaceIndex: 7 };
const to = (control: string, deviceIndex: number, change: Partial<MirrorTarget> = {}): MirrorTarget => ({ control, deviceIndex, ...change });
const udp = { match: [{ protocol: 17, ports: [{ first: 53, last: 53 }] }] };
const rate = { rateLimit: { packetsPerSecond: 10 } };
/** Without the hash behind. */
const texts = (rules: readonly { readonly comment: string }[]): string[] => rules.map(({ comment }) => comment.replace(/^dfw: /, '').replace(/ of veth0 \(7\)/, '').replace(/ #\w+$/, ''));
const chains = (...targets: readonly MirrorTarget[]): string[][] => {
  const { together, apart } = copyRules(targets, OF);
  return [texts(together), ...apart.map((rules) => texts(rules))];
};

describe('copies', () => {
  it('of everything stand together, one for each device; what else asks for the device is never asked', () => {
    expect(chains(to('a', 1), to('b', 2), to('c', 1), to('d', 1, udp))).toEqual([['mirror a', 'mirror b']]);
  });

  it('of a device that does not get everything are a chain of their own, those with a limit last', () => {
    expect(chains(to('a', 1, { ...udp, ...rate }), to('b', 1, udp), to('c', 2))).toEqual([
      ['mirror c'], ['mirror b udp sport 53', 'mirror b udp dport 53', 'mirror a udp sport 53', 'capped a udp sport 53', 'mirror a udp dport 53', 'capped a udp dport 53'],
    ]);
    expect(chains(to('a', 1, rate), to('b', 1))).toEqual([['mirror b']]);
    expect(chains(to('a', 1, udp), to('b', 1))).toEqual([[], ['mirror a udp sport 53', 'mirror a udp dport 53', 'mirror b']]);
  });

  it('of a sample are of what is drawn, and of fragments', () => {
    expect(chains(to('a', 1, { sampling: 10 }))).toEqual([[], ['mirror a 1/10', 'mirror a fragment', 'mirror a fragment6']]);
    expect(chains(to('a', 1, { sampling: 10, ...rate }))[1]).toEqual(['mirror a 1/10', 'capped a 1/10', 'mirror a fragment', 'capped a fragment', 'mirror a fragment6', 'capped a fragment6']);
  });

  it('are known by their comments, which are whole whatever names are long', () => {
    const long = 'x'.repeat(100);
    const { apart, together } = copyRules([to(long, 1, { sampling: 65_536, match: [{ protocol: 132, ports: [{ first: 10_000, last: 65_535 }] }], ...rate }), to(`${long}y`, 2)], { interface: 'i'.repeat(15), interfaceIndex: 123_456 });
    const comments = [...together, ...apart.flat()].map(({ comment }) => comment);
    expect(Math.max(...comments.map((comment) => comment.length))).toBeLessThanOrEqual(127);
    expect(comments.map((comment) => [copyRuleOf(long, comment), copyRuleOf(`${long}y`, comment)]).filter(([one, other]) => one === undefined && other === undefined)).toEqual([]);
    expect(comments.filter((comment) => copyRuleOf(`${long}y`, comment) === 'copied')).toHaveLength(1);
    expect(comments.filter((comment) => copyRuleOf(long, comment) === 'capped')).toHaveLength(6);
    expect(copyRuleOf('a', 'dfw: mirror a-b of veth0 (7) #1')).toBeUndefined();
  });
});

describe('limits', () => {
  it('are objects that all rules of a control share; another rate is another object', () => {
    const limit = { packetsPerSecond: 100, bytesPerSecond: 5_000 };
    const [packets, bytes, ...none] = limitImages({ control: 'a', rateLimit: limit });
    expect([packets, bytes, none]).toEqual([
      { name: expect.stringMatching(/^cap_[0-9a-f]{16}$/), unit: 'packets', rate: 100, burst: 100 }, { name: expect.stringMatching(/^cap_[0-9a-f]{16}$/), unit: 'bytes', rate: 5_000, burst: 0 }, [],
    ]);
    const names = [...limitImages({ control: 'a', rateLimit: limit }), ...limitImages({ control: 'b', rateLimit: limit }), ...limitImages({ control: 'a', rateLimit: { packetsPerSecond: 100, burst: 5 } })].map(({ name }) => name);
    expect(new Set(names).size).toBe(5);
    expect(limitImages({ control: 'a' })).toEqual([]);
  });

  it('come into the table with the chains that name them', () => {
    const filter = (number: number, mirrors: readonly MirrorTarget[]) => ({ ...OF, number, mac: '', mirrors: { in: mirrors, out: mirrors }, redirects: { in: [], out: [] }, blocked: [], layer2: [] });
    const { limits, chains: made } = netdevImage([filter(1, [to('a', 1, rate)]), filter(2, [to('a', 1, rate), to('b', 2)])], [], 1, 1);
    expect([...limits.keys()]).toEqual(limitImages({ control: 'a', ...rate }).map(({ name }) => name));
    expect([...made.keys()]).toEqual(['mirror_1_in_0', 'mirror_1_out_0', 'mirror_2_in', 'mirror_2_in_0', 'mirror_2_out', 'mirror_2_out_0']);
  });
});
