import { describe, expect, it } from 'vitest';
import { keysUnder } from '../../../../src/sources/etcd/client/etcd.js';
import { parseEndpoint } from '../../../../src/sources/etcd/client/endpoint.js';
import { EtcdKeys } from '../../../../src/sources/etcd/keys.js';

const keys = new EtcdKeys('/dfw/v1/', 'host-7');
const object = (key: string): unknown => {
  const place = keys.parse(key);
  return place.form === 'none' ? place.reason : 'object' in place ? [place.form, place.object] : place.form;
};

describe('keys', () => {
  it('of objects say what is there, those it writes itself among them', () => {
    expect(object('/dfw/v1/objects/Pod/shop/web')).toEqual(['manifest', 'Pod/shop/web']);
    expect(object('/dfw/v1/objects/RuleTable/K8s/shop/web')).toEqual(['manifest', 'RuleTable/K8s/shop/web']);
    expect(keys.parse('/dfw/v1/addresssets/Group:a/b#1@p/2')).toEqual({ form: 'addressset', scope: 'all', name: 'Group:a/b#1', part: 'p/2', object: 'AddressSet/Group:a/b#1' });
    for (const node of [undefined, 'host-7']) {
      const scope = node === undefined ? 'all' : 'host';
      expect(keys.parse(keys.manifest({ kind: 'AntreaGroup', namespace: 'a', name: 'b.c' }, node))).toEqual({ form: 'manifest', scope, object: 'AntreaGroup/a/b.c' });
      expect(keys.parse(keys.table('t/1', node))).toEqual({ form: 'ruletable', scope, name: 't/1', object: 'RuleTable/t/1' });
      expect(keys.parse(keys.set('s', node))).toEqual({ form: 'addressset', scope, name: 's', object: 'AddressSet/s' });
    }
    expect(keys.parse(keys.workload({ kind: 'VirtualMachine', name: 'db' }))).toEqual({ form: 'workload', node: 'host-7', object: 'VirtualMachine/db' });
    expect(keys.parse(keys.agent())).toEqual({ form: 'agent', node: 'host-7' });
  });

  it.each([
    ['/dfw/v2/objects/Pod/a/b', 'outside'], ['/dfw/v1', 'outside'], ['/dfw/v1/', 'no folder'], ['/dfw/v1/things/x', 'no folder'], ['/dfw/v1/objects/Pod/web', 'Kind/namespace/name'],
    ['/dfw/v1/objects/Pod/a/b/c', 'Kind/namespace/name'], ['/dfw/v1/objects/pod/a/b', 'names no kind'], ['/dfw/v1/objects/constructor/a', 'names no kind'], ['/dfw/v1/objects/VirtualMachine/', 'Kind/name'],
    ['/dfw/v1/objects/VirtualMachine/a\x00', 'printable'], ['/dfw/v1/ruletables/', 'no table'], ['/dfw/v1/addresssets/@1', 'no address set'], ['/dfw/v1/hosts/host-70/objects/Pod/a/b', 'another host'],
    ['/dfw/v1/hosts/host-7/workloads/x', 'no folder'], ['/dfw/v1/hosts/host-7', 'no folder'], ['/dfw/v1/workloads/h', 'names no kind'],
  ])('%j are none of ours: %s', (key, reason) => {
    expect(object(key)).toContain(reason);
  });

  it('that are read are those of all and of this host, no other', () => {
    const read = (key: string): boolean => keys.ranges().some(({ from, to }) => key >= from && key < to);
    for (const key of [keys.table('t'), keys.set('s'), keys.set('s', 'host-7'), keys.manifest({ kind: 'Tier', name: 't' }), '/dfw/v1/workloads/other/Pod/a/b']) expect([key, read(key)]).toEqual([key, true]);
    for (const key of [keys.table('t', 'host-70'), keys.table('t', 'host-6'), '/dfw/v1/objectsx/a', '/dfw/v1', '/dfw/v2/objects/a']) expect([key, read(key)]).toEqual([key, false]);
  });

  it('under a prefix end where the prefix does', () => {
    expect(keysUnder('/a/')).toEqual({ from: '/a/', to: '/a0' });
  });
});

describe('endpoints', () => {
  it.each([
    ['http://127.0.0.1:2379', 'dns:127.0.0.1:2379', false], ['https://etcd-1:443', 'dns:etcd-1:443', true], ['http://h:80/', 'dns:h:80', false], ['https://[2001:db8::1]:2379', 'dns:[2001:db8::1]:2379', true],
    ['http://etcd', 'dns:etcd:2379', false], ['unix:/run/etcd.sock', 'unix:/run/etcd.sock', false],
  ])('%s', (text, target, secure) => {
    expect(parseEndpoint(text)).toEqual({ text, target, secure });
  });

  it.each(['', 'etcd:2379', 'ftp://h:1', 'http://', 'http://u:p@h:1', 'http://h:1/path', 'http://h:1?x', 'unix:relative', 'http://h:99999'])('%s is none', (text) => {
    expect(parseEndpoint(text)).toBeUndefined();
  });
});
