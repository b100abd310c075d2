/** What a host publishes of its workloads: manifests that decode to what it enforces by, and nothing that others have anyway. */
import { expect, it } from 'vitest';
import { publishedWorkloads } from '../../../src/app/published-workloads.js';
import { buildFilter } from '../../../src/compile/filter.js';
import type { Filter } from '../../../src/model/filter.js';
import { objectKey, type DesiredObject } from '../../../src/model/objects.js';
import { accept } from '../../support/decode.js';

const machine = accept('VirtualMachine', {
  kind: 'VirtualMachine', metadata: { name: 'db', labels: { app: 'demo' } },
  spec: { uuid: 'u', segment: 'vlan-64', nics: [{ name: 'eth0', mac: '02:00:00:00:00:01', addresses: ['10.0.0.1'] }, { name: 'eth1', addresses: ['10.0.1.1'] }] },
});
const pod = accept('Pod', {
  apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web', namespace: 'shop', labels: { app: 'web' } },
  spec: { nodeName: 'n', serviceAccountName: 'sa', containers: [{ name: 'x', image: 'i', ports: [{ name: 'http', containerPort: 80 }, { name: 'dns', containerPort: 53, protocol: 'UDP' }] }] }, status: { podIPs: [{ ip: '10.1.0.1' }] },
});
const objects = new Map<string, DesiredObject>([machine, pod].map((object) => [objectKey(object), object]));
const filter = (workload: object, spec: object = {}): Filter => {
  const attachment = accept('Attachment', { kind: 'Attachment', metadata: { name: `a-${JSON.stringify(workload).length}` }, spec: { workload, interface: 'veth0', ...spec } });
  const { kind, namespace, name } = attachment.workload;
  return buildFilter(attachment, objects.get(objectKey({ kind, metadata: { name, ...(namespace === undefined ? {} : { namespace }) } })), [], { number: () => 1 });
};
const published = (filters: readonly Filter[], shared = false, cluster = ''): unknown[] => publishedWorkloads(filters, { node: 'n', cluster }, (key) => {
  const object = objects.get(key);
  return object === undefined ? undefined : { object, shared };
}).map(({ manifest }) => manifest);

it('machines and pods come out as they are known, with the addresses of their attachments', () => {
  expect(accept('VirtualMachine', published([filter({ kind: 'VirtualMachine', name: 'db' })])[0])).toEqual(machine);
  expect(accept('Pod', published([filter({ kind: 'Pod', namespace: 'shop', name: 'web' })])[0])).toEqual(pod);
  const more = published([filter({ kind: 'VirtualMachine', name: 'db' }, { vnic: 'eth1', addresses: ['10.0.1.9'] }), filter({ kind: 'VirtualMachine', name: 'db' }, { vnic: 'eth2', mac: '02:00:00:00:00:09', addresses: ['fd00::9'] })]);
  expect(more).toHaveLength(1);
  expect(accept('VirtualMachine', more[0]).nics).toEqual([
    machine.nics[0], { name: 'eth1', addresses: ['10.0.1.1', '10.0.1.9'] }, { name: 'eth2', mac: '02:00:00:00:00:09', addresses: ['fd00::9'] },
  ]);
});

it('one that nobody declared is published by its attachment alone', () => {
  const [unknown] = published([filter({ kind: 'VirtualMachine', name: 'new' }, { addresses: ['10.0.0.7'] })]);
  expect(accept('VirtualMachine', unknown)).toMatchObject({ metadata: { name: 'new', labels: {} }, nics: [{ name: 'eth0', addresses: ['10.0.0.7'] }] });
});

it('nodes, and what others read where this host did, are not published', () => {
  expect(published([filter({ kind: 'Node', name: 'n' })])).toEqual([]);
  expect(published([filter({ kind: 'VirtualMachine', name: 'db' })], true)).toEqual([]);
});

it('this host is published as the Node that it is, and pods and nodes with their cluster; virtual machines are of none', () => {
  const node = accept('Node', { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n', labels: { zone: 'a' } }, spec: { podCIDRs: ['10.1.0.0/24'] }, status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }] } });
  objects.set('Node/n', node);
  try {
    expect(published([]).map((manifest) => accept('Node', manifest))).toEqual([node]);
    expect(published([], true)).toEqual([]);
    const cluster = { 'dfw.dev/cluster': 'c' };
    const all = published([filter({ kind: 'Pod', namespace: 'shop', name: 'web' }), filter({ kind: 'VirtualMachine', name: 'db' })], false, 'c');
    expect(all).toMatchObject([{ kind: 'Node', metadata: { labels: { zone: 'a', ...cluster } } }, { kind: 'Pod', metadata: { labels: { app: 'web', ...cluster } } }, { metadata: { labels: { app: 'demo' } } }]);
    expect(accept('VirtualMachine', all[2]).metadata.labels).toEqual({ app: 'demo' });
  } finally {
    objects.delete('Node/n');
  }
});
