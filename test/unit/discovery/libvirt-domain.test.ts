import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseDomain } from '../../../src/discovery/libvirt-domain.js';
import { isAgentError } from '../../../src/model/errors.js';

const UUID = '7c4e5f2a-9d3b-4b1e-8f6a-0d2c1b3a4f5e';
const domain = (inner: string, name = 'web-1'): string => `<domstatus state='running' reason='booted' pid='4711'>
  <monitor path='/var/lib/libvirt/qemu/domain-1/monitor.sock' type='unix'/>
  <domain type='kvm' id='1'>
    <name>${name}</name>
    <uuid>${UUID.toUpperCase()}</uuid>
    ${inner}
  </domain>
</domstatus>`;
const nic = (inner: string, type = 'bridge'): string => `<devices><emulator>/usr/bin/kvm</emulator><interface type='${type}'>${inner}</interface></devices>`;
const refusal = (text: string): { code: string; path: string; message: string } => {
  try {
    parseDomain(text);
  } catch (error) {
    if (!isAgentError(error)) throw error;
    return { code: error.code, path: error.path ?? '', message: error.message };
  }
  throw new Error('accepted');
};

describe('a status file', () => {
  it('gives name, uuid, tags and interfaces', () => {
    const text = domain(`
      <title>not <![CDATA[<name>this</name>]]></title>
      <metadata>
        <dfw:tags xmlns:dfw="https://dfw.dev/xmlns/libvirt/1"><dfw:tag key="app" value="shop"/><dfw:tag key="env" value=""/></dfw:tags>
        <tag xmlns="urn:other" key="app" value="other"/>
        <name>not this</name>
      </metadata>
      <devices>
        <disk type='file'><target dev='vda'/></disk>
        <interface type='bridge'>
          <mac address='52:54:00:AB:CD:01'/><source bridge='br-prod'/><target dev='vnet0'/><alias name='net0'/>
          <filterref filter='clean-traffic'><parameter name='IP' value='192.0.2.10'/><parameter name='IPV6' value='2001:DB8::10'/><parameter name='CTRL_IP_LEARNING' value='dhcp'/></filterref>
        </interface>
        <interface type='network'>
          <mac address='52:54:00:ab:cd:02'/><source network='storage' portid='x' bridge='virbr7'/><ip address='192.0.2.20' family='ipv4' prefix='24'/><target dev='vnet1'/><alias name='net7'/>
        </interface>
        <interface type='user'><mac address='52:54:00:ab:cd:03'/></interface>
      </devices>`);
    expect(parseDomain(text)).toEqual({
      name: 'web-1', uuid: UUID, tags: { app: 'shop', env: '' },
      nics: [
        { vnic: 'eth0', type: 'bridge', device: 'vnet0', mac: '52:54:00:ab:cd:01', addresses: ['192.0.2.10', '2001:db8::10'], segment: 'br-prod' },
        { vnic: 'eth7', type: 'network', device: 'vnet1', mac: '52:54:00:ab:cd:02', addresses: ['192.0.2.20'], segment: 'storage' },
        { vnic: 'eth2', type: 'user', mac: '52:54:00:ab:cd:03', addresses: [] },
      ],
    });
  });

  it('may be the domain alone, and may have interfaces whose names would be one', () => {
    const text = `<domain><name>a</name><uuid>${UUID}</uuid><devices><interface type='bridge'><alias name='net1'/></interface><interface type='bridge'/><interface type='bridge'><alias name='ua-mine'/></interface></devices></domain>`;
    expect(parseDomain(text).nics.map(({ vnic }) => vnic)).toEqual(['eth1', 'eth3', 'eth2']);
  });
});

describe('what is refused, with its place', () => {
  it.each<[string, string, string, string | RegExp]>([
    ['text', 'not xml', 'E_PARSE', /./],
    ['nothing', '', 'E_PARSE', /./],
    ['a file that was cut off', domain('').slice(0, 200), 'E_PARSE', /./],
    ['another root', '<network><name>x</name></network>', 'E_INVALID', 'there is no <domain>'],
    ['no uuid', '<domain><name>x</name></domain>', 'E_INVALID', 'the domain has no <uuid>'],
    ['a uuid that is none', '<domain><name>x</name><uuid>1</uuid></domain>', 'E_INVALID', 'the <uuid> is none'],
    ['no name', `<domain><uuid>${UUID}</uuid></domain>`, 'E_INVALID', /name is empty/],
    ['a name that cannot be a name here', domain('', 'my web server'), 'E_INVALID', /my web server/],
    ['a MAC address that is none', domain(nic("<mac address='x'/>")), 'E_INVALID', /MAC address/],
    ['a device that is none', domain(nic("<target dev='a/b'/>")), 'E_INVALID', /interface name/],
    ['an address that is none', domain(nic("<ip address='10.0.0'/>")), 'E_INVALID', /10\.0\.0/],
    ['a tag that is none', domain('<metadata><t:tag xmlns:t="https://dfw.dev/xmlns/libvirt/1" key="a b" value="x"/></metadata>'), 'E_INVALID', /label key/],
    ['a tag twice', domain('<metadata xmlns:t="https://dfw.dev/xmlns/libvirt/1"><t:tag key="a" value="x"/><t:tag key="a" value="y"/></metadata>'), 'E_INVALID', /two tags/],
    ['an unknown prefix', domain('<metadata><t:tag key="a" value="x"/></metadata>'), 'E_PARSE', /./],
    ['an entity of its own', domain('<title>&mine;</title>'), 'E_PARSE', /entity/],
  ])('%s', (_, text, code, message) => {
    const refused = refusal(text);
    expect(refused.code).toBe(code);
    expect(refused.path).toMatch(/^line \d+, column \d+$/);
    expect(refused.message).toMatch(message);
  });

  it('the place is where it is wrong', () => {
    expect(refusal(domain(nic("<mac address='x'/>"))).path).toMatch(/^line 6, column /);
    expect(refusal(domain('\n\n<oops>')).path).toMatch(/^line 9, column /);
  });

  it('entity bombs, at once', () => {
    const lines = Array.from({ length: 40 }, (_, index) => `<!ENTITY e${index + 1} "&e${index};&e${index};">`);
    const bomb = `<?xml version="1.0"?><!DOCTYPE domain [<!ENTITY e0 "x">${lines.join('')}]>${domain('<title>&e40;</title>')}`;
    const began = performance.now();
    expect(refusal(bomb)).toMatchObject({ code: 'E_PARSE', message: expect.stringContaining('document type') as string });
    expect(refusal(`<!DOCTYPE domain SYSTEM "file:///etc/passwd">${domain('')}`).message).toContain('document type');
    expect(performance.now() - began).toBeLessThan(1_000);
  });

  it('nothing else comes of any text', () => {
    const attempt = (text: string): void => {
      try {
        parseDomain(text);
      } catch (error) {
        expect(isAgentError(error)).toBe(true);
      }
    };
    const good = domain(nic("<mac address='52:54:00:ab:cd:01'/><target dev='vnet0'/>"));
    fc.assert(fc.property(fc.string(), attempt));
    fc.assert(fc.property(fc.nat(good.length), fc.nat(20), fc.string({ maxLength: 5 }), (at, length, put) => attempt(good.slice(0, at) + put + good.slice(at + length))), { numRuns: 500 });
  });
});
