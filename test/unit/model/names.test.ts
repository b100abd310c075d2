import { describe, expect, it } from 'vitest';
import { interfaceProblem, labelProblem, nsxNameProblem, setNameProblem, subdomainProblem, tableNameProblem, tagProblem } from '../../../src/model/names.js';
import { nearest } from '../../../src/model/nearest.js';
import { quote } from '../../../src/model/quote.js';

const HOSTILE = ['', ' ', 'a b', 'a"b', "a'b", 'a\nb', 'a;b', '$(reboot)', '`id`', 'a{b}', 'a/b', '../etc', 'x'.repeat(4096), 'ä', '\u0000', '-a', '*', '@s', 'a|b'];

describe('names', () => {
  it.each(['redis-master', 'a', 'web.example.org', '0', `${'a'.repeat(63)}.b`])('%s is a subdomain', (text) => {
    expect(subdomainProblem(text)).toBeUndefined();
  });

  it.each(['Web', 'a_b', 'a..b', '.a', 'a.', 'a-', ...HOSTILE])('%j is no subdomain', (text) => {
    expect(subdomainProblem(text)).toBeTypeOf('string');
  });

  it.each(['domain-c25', 'ip-vm-33', 'd8e7adac-af3b-4f22-9785-0cc30f0e81b1', 'attr_1092_1_APP_ID', 'a:b', 'A.1'])('%s is an NSX name', (text) => {
    expect(nsxNameProblem(text)).toBeUndefined();
  });

  it.each(HOSTILE)('%j is no NSX name, and the message shows it in one short printable line', (text) => {
    const problem = nsxNameProblem(text) ?? '';
    expect(problem).toMatch(/^[ -~]{10,220}$/);
  });

  it('takes the names of tables and sets that policies make', () => {
    for (const good of ['K8sNetworkPolicy:x/np', 'AntreaNetworkPolicy:x/np#in.y-1a2b3c4d', 'Group:x/web', 'domain-c25']) {
      expect([setNameProblem(good), tableNameProblem(good)]).toEqual([undefined, undefined]);
    }
    for (const bad of HOSTILE.filter((text) => text !== 'a/b')) expect(setNameProblem(bad)).toMatch(/^[ -~]{10,220}$/);
  });

  it('has limits', () => {
    expect(nsxNameProblem('a'.repeat(253))).toBeUndefined();
    expect(nsxNameProblem('a'.repeat(254))).toContain('longer than 253');
    expect(labelProblem('a'.repeat(64))).toContain('longer than 63');
    expect(labelProblem('a.b')).toContain('DNS label');
    expect(tableNameProblem('domain-c25_L2')).toContain('_L2');
  });

  it('knows interface names', () => {
    for (const good of ['eth0', 'veth3f2a', 'br-int', 'eth0.100', 'tap_1', 'x'.repeat(15)]) expect(interfaceProblem(good)).toBeUndefined();
    for (const bad of ['', '.', '..', 'a/b', 'a b', 'a:b', 'x'.repeat(16), 'ä']) expect(interfaceProblem(bad)).toBeTypeOf('string');
  });

  it('knows tags', () => {
    for (const good of ['', 'ssh', 'a b; c{d}', 'x'.repeat(64)]) expect(tagProblem(good)).toBeUndefined();
    for (const bad of ["it's", 'say "x"', 'a\nb', 'x'.repeat(65), 'ä']) expect(tagProblem(bad)).toBeTypeOf('string');
  });
});

describe('did you mean', () => {
  it.each([['protocl', 'protocol'], ['acton', 'action'], ['destnation', 'destination'], ['tpc', 'tcp'], ['Ports', 'ports']])('%s → %s', (text, wanted) => {
    expect(nearest(text, ['protocol', 'action', 'destination', 'tcp', 'ports'])).toBe(wanted);
  });

  it('stays silent when nothing is near', () => {
    expect(nearest('zebra', ['protocol', 'action'])).toBeUndefined();
    expect(nearest('x'.repeat(65), ['x'.repeat(65)])).toBeUndefined();
  });
});

describe('quoting', () => {
  it('escapes and cuts', () => {
    expect(quote('a"b\\c\n\t\u0001é')).toBe('"a\\"b\\\\c\\n\\t\\u0001\\u00e9"');
    expect(quote('abcdef', 3)).toBe('"abc..." (6 characters)');
  });
});
