import { describe, expect, it } from 'vitest';
import { ethertypeFromText, ethertypeToText, hasPorts, isIcmp, protocolFromText, protocolNames, protocolToText } from '../../../src/model/protocols.js';

describe('protocols', () => {
  it.each([
    ['tcp', 6], ['UDP', 17], ['sctp', 132], ['icmp', 1], ['ipv6-icmp', 58], ['icmpv6', 58], ['igmp', 2], ['gre', 47], ['esp', 50], ['ipv6-crypt', 50], ['ah', 51],
    ['ipip', 4], ['ospf', 89], ['pim', 103], ['vrrp', 112], ['udplite', 136], ['dccp', 33], ['0', 0], ['240', 240], ['255', 255], ['any', 'any'],
  ])('%s is %s', (text, protocol) => {
    expect(protocolFromText(text)).toBe(protocol);
  });

  it.each(['', '256', '-1', '06', '1e1', 'ip', 'tcpp', '1000'])('%j is none', (text) => {
    expect(protocolFromText(text)).toBeUndefined();
  });

  it('reads back every name and number it prints', () => {
    for (let number = 0; number <= 255; number++) expect(protocolFromText(protocolToText(number))).toBe(number);
    for (const name of protocolNames()) expect(protocolFromText(name)).toBeDefined();
    expect(protocolToText('any')).toBe('any');
    expect(protocolToText(240)).toBe('240');
  });

  it('knows which have ports', () => {
    const numbers = Array.from({ length: 256 }, (_, number) => number);
    expect(numbers.filter(hasPorts)).toEqual([6, 17, 33, 132, 136]);
    expect(hasPorts('any')).toBe(false);
    expect(numbers.filter(isIcmp)).toEqual([1, 58]);
  });
});

describe('ethertypes', () => {
  it.each([['any', 'any'], ['ipv4', 0x0800], ['ARP', 0x0806], ['ipv6', 0x86dd], ['0x88cc', 0x88cc], ['0x800', 0x0800], ['2054', 0x0806]])('%s is %s', (text, number) => {
    expect(ethertypeFromText(text)).toBe(number);
  });

  it.each(['', '0x', '0x05ff', '0x10000', '65536', '70000', 'arpp', '88cc'])('%j is none', (text) => {
    expect(ethertypeFromText(text)).toBeUndefined();
  });

  it('reads back what it prints', () => {
    for (let number = 0x0600; number <= 0xffff; number += 7) expect(ethertypeFromText(ethertypeToText(number))).toBe(number);
    expect(ethertypeToText(0x0806)).toBe('arp');
    expect(ethertypeToText(0x88cc)).toBe('0x88cc');
  });
});
