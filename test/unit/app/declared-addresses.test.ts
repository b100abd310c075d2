/** Who declares an address, followed by what changed. */
import { expect, it } from 'vitest';
import { DeclaredAddresses } from '../../../src/app/declared-addresses.js';
import { objectKey, type DesiredObject } from '../../../src/model/objects.js';
import { ObjectStore } from '../../../src/sources/object-store.js';
import type { Source } from '../../../src/sources/source.js';

const pod = (name: string, addresses: readonly string[], hostNetwork = false): DesiredObject => ({ kind: 'Pod', metadata: { name, namespace: 'ns', labels: {} }, addresses, ports: [], ...(hostNetwork ? { hostNetwork: true as const } : {}) });
const source = (objects: () => ReadonlyMap<string, DesiredObject>): Pick<Source, 'snapshot'> => ({ snapshot: () => ({ objects: objects(), manifests: new Map(), errors: [], revision: 1 }) });
const mapOf = (...objects: readonly DesiredObject[]): ReadonlyMap<string, DesiredObject> => new Map(objects.map((object) => [objectKey(object), object]));

it('pods, machines, nodes and attachments declare; a workload does not contradict itself', () => {
  let hosts: readonly string[] = [];
  const declared = new DeclaredAddresses([source(() => all)], () => hosts);
  const all = mapOf(
    pod('p', ['10.0.0.1']), pod('h', ['10.0.0.2'], true), { kind: 'Node', metadata: { name: 'n', labels: {} }, addresses: ['10.0.0.2'] },
    { kind: 'VirtualMachine', metadata: { name: 'v', labels: {} }, nics: [{ name: 'eth0', addresses: [] }, { name: 'eth1', addresses: ['10.0.0.3'] }] },
    { kind: 'Attachment', metadata: { name: 'a', labels: {} }, workload: { kind: 'VirtualMachine', name: 'v' }, vnic: 'eth0', interface: 'tap0', addresses: ['10.0.0.3', '10.0.0.4'] },
    { kind: 'AddressSet', metadata: { name: 's', labels: {} }, addresses: ['10.0.0.9'] },
  );
  const owner = (address: string, key = ''): string | undefined => declared.ownerOf(address, key);
  expect(['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.9'].map((address) => owner(address))).toEqual(['Pod/ns/p', 'Node/n', 'VirtualMachine/v', 'VirtualMachine/v', undefined]);
  expect([owner('10.0.0.3', 'VirtualMachine/v'), owner('10.0.0.1', 'Pod/ns/p')]).toEqual([undefined, undefined]);
  const before = declared.revision();
  expect(declared.revision()).toBe(before);
  hosts = ['10.0.0.7'];
  expect([owner('10.0.0.7'), declared.revision() > before]).toEqual(['this host', true]);
});

it('follows plain maps and views alike, also where two declare one address', () => {
  const store = new ObjectStore();
  store.set('Pod/ns/p', pod('p', ['10.0.0.1']));
  let view: ReadonlyMap<string, DesiredObject> = store.publish(1);
  let plain = mapOf(pod('q', ['10.0.0.1']));
  const declared = new DeclaredAddresses([source(() => view), source(() => plain)], () => []);
  expect(declared.ownerOf('10.0.0.1', 'Pod/ns/p')).toBe('Pod/ns/q');
  plain = mapOf();
  expect([declared.ownerOf('10.0.0.1', 'Pod/ns/p'), declared.ownerOf('10.0.0.1', '')]).toEqual([undefined, 'Pod/ns/p']);
  store.set('Pod/ns/p', pod('p', ['10.0.0.2']));
  view = store.publish(2);
  expect([declared.ownerOf('10.0.0.1', ''), declared.ownerOf('10.0.0.2', '')]).toEqual([undefined, 'Pod/ns/p']);
  store.delete('Pod/ns/p');
  view = store.publish(3);
  expect(declared.ownerOf('10.0.0.2', '')).toBeUndefined();
});
