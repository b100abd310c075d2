import { beforeEach, describe, expect, it } from 'vitest';
import { Replica } from '../../../../src/drivers/ovs/ovsdb/replica.js';
import { parseSchema } from '../../../../src/drivers/ovs/ovsdb/schema.js';
import { portOwner } from '../../../../src/drivers/ovs/port-owner.js';
import { bridgeFacts, bridgePorts, switchFacts } from '../../../../src/drivers/ovs/ports.js';
import { SWITCH_COLUMNS } from '../../../../src/drivers/ovs/columns.js';

const ids = (pairs: Readonly<Record<string, string>>): Map<string, string> => new Map(Object.entries(pairs));
const none = ids({});

describe('portOwner', () => {
  it('reads Antrea\'s pods, from the Port row', () => {
    const port = ids({
      'antrea-type': 'container', 'attached-mac': '8a:31:FD:0c:7a:01', 'container-id': '9f86d081884c7d65', 'ip-address': '10.10.1.7,fd00:10:10:1::7', 'pod-name': 'nettoolv3', 'pod-namespace': 'default',
    });
    expect(portOwner(port, none)).toEqual({
      manager: 'antrea', workload: { kind: 'Pod', namespace: 'default', name: 'nettoolv3' }, id: 'container', sandbox: '9f86d081884c7d65', mac: '8a:31:fd:0c:7a:01', addresses: ['10.10.1.7', 'fd00:10:10:1::7'], active: true,
    });
    expect(portOwner(ids({ 'pod-name': 'p', 'pod-namespace': 'n', 'if-dev': 'eth1', 'attached-mac': 'broken', 'ip-address': '10.0.0.1,x' }), none)).toEqual({ manager: 'antrea', workload: { kind: 'Pod', namespace: 'n', name: 'p' }, vnic: 'eth1', addresses: ['10.0.0.1'], active: true });
  });

  it.each(['gateway', 'tunnel', 'ipsec-tunnel', 'uplink', 'host', 'traffic-control'])('knows Antrea\'s %s for nobody\'s workload', (type) => {
    expect(portOwner(ids({ 'antrea-type': type }), none)).toEqual({ manager: 'antrea', id: type, addresses: [], active: true });
  });

  it('reads ovn-kubernetes\' pods, on the default and on further networks', () => {
    const own = { attached_mac: '0a:58:0a:f4:00:05', 'iface-id': 'openshift-dns_dns-default-7xk2p', 'iface-id-ver': '5f3c1f40-0d3a-4b6f-9d8e-1f1a6d5b1c11', ip_addresses: '10.244.0.5/24,fd00:10:244::5/64', sandbox: 'c0ffee00', 'ovn-installed': 'true' };
    expect(portOwner(none, ids(own))).toEqual({
      manager: 'ovn-kubernetes', workload: { kind: 'Pod', namespace: 'openshift-dns', name: 'dns-default-7xk2p', uid: '5f3c1f40-0d3a-4b6f-9d8e-1f1a6d5b1c11' }, id: 'openshift-dns_dns-default-7xk2p', sandbox: 'c0ffee00',
      mac: '0a:58:0a:f4:00:05', addresses: ['10.244.0.5', 'fd00:10:244::5'], active: true,
    });
    expect(portOwner(none, ids({ ...own, 'iface-id': 'ns1.blue.net_ns1_pod-a', 'k8s.ovn.org/nad': 'ns1/blue-net', 'k8s.ovn.org/network': 'blue-net' }))).toMatchObject({ workload: { namespace: 'ns1', name: 'pod-a' }, vnic: 'ns1/blue-net' });
    expect(portOwner(none, ids({ 'iface-id': 'ns_old', sandbox: 'x', ip_address: '10.1.0.3/23' }))).toMatchObject({ workload: { namespace: 'ns', name: 'old' }, addresses: ['10.1.0.3'] });
    // A switch port of OVN's that is no pod's.
    expect(portOwner(none, ids({ 'iface-id': 'k8s-node1' }))).toEqual({ manager: 'other', id: 'k8s-node1', addresses: [], active: true });
    expect(portOwner(none, ids({ 'iface-id': '_x', sandbox: 's' }))).toMatchObject({ manager: 'other' });
  });

  it('reads Kube-OVN\'s pods', () => {
    expect(portOwner(none, ids({ 'iface-id': 'web-0.default', vendor: 'kube-ovn', pod_name: 'web-0', pod_namespace: 'default', ip: '10.16.0.9,fd00:10:16::9', pod_netns: '/var/run/netns/cni-1' }))).toEqual({
      manager: 'kube-ovn', workload: { kind: 'Pod', namespace: 'default', name: 'web-0' }, id: 'web-0.default', addresses: ['10.16.0.9', 'fd00:10:16::9'], active: true,
    });
  });

  it('reads virtual machines of libvirt and OpenStack', () => {
    const common = { 'attached-mac': 'fa:16:3e:1e:e9:e7', 'iface-id': '35b3ca4a-b02a-4b5e-a447-5675df178179', 'iface-status': 'active' };
    expect(portOwner(none, ids({ ...common, 'vm-id': 'C7A5FDBD-EDAF-9455-926A-D65C16DB1809' }))).toEqual({
      manager: 'libvirt', workload: { kind: 'VirtualMachine', uuid: 'c7a5fdbd-edaf-9455-926a-d65c16db1809' }, id: '35b3ca4a-b02a-4b5e-a447-5675df178179', mac: 'fa:16:3e:1e:e9:e7', addresses: [], active: true,
    });
    expect(portOwner(none, ids({ ...common, 'vm-uuid': 'c7a5fdbdedaf9455926ad65c16db1809', 'iface-status': 'inactive' }))).toMatchObject({ manager: 'openstack', workload: { uuid: 'c7a5fdbd-edaf-9455-926a-d65c16db1809' }, active: false });
    expect(portOwner(none, ids({ ...common, 'vm-uuid': 'not one' }))).toMatchObject({ manager: 'other', id: common['iface-id'] });
  });

  it('says nothing of ports that name nobody', () => {
    expect([portOwner(none, none), portOwner(ids({ x: 'y' }), ids({ 'iface-status': 'active', 'attached-mac': '00:00:00:00:00:01' })), portOwner(ids({ 'pod-name': '', 'pod-namespace': 'n' }), none)]).toEqual([undefined, undefined, undefined]);
  });
});

describe('ports of a bridge', () => {
  const uuid = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
  const ref = (n: number): readonly string[] => ['uuid', uuid(n)];
  let replica: Replica;

  const map = { key: 'string', value: 'string', min: 0, max: 'unlimited' };
  const many = { key: { type: 'uuid' }, min: 0, max: 'unlimited' };
  const optional = { key: 'integer', min: 0, max: 1 };
  const word = { key: 'string', min: 0, max: 1 };
  const columns = (types: Readonly<Record<string, unknown>>): unknown => ({ columns: Object.fromEntries(Object.entries(types).map(([name, type]) => [name, { type }])) });
  const schema = parseSchema({
    name: 'Open_vSwitch',
    tables: {
      Open_vSwitch: columns({ bridges: many, cur_cfg: 'integer', next_cfg: 'integer', ovs_version: word, external_ids: map }),
      Bridge: columns({ name: 'string', ports: many, datapath_id: word, datapath_type: 'string', fail_mode: word, external_ids: map }),
      Port: columns({ name: 'string', interfaces: { ...many, min: 1 }, tag: optional, external_ids: map }),
      Interface: columns({ name: 'string', type: 'string', ofport: optional, ifindex: optional, mac_in_use: word, error: word, link_state: word, external_ids: map }),
    },
  });

  beforeEach(() => {
    replica = new Replica(SWITCH_COLUMNS);
    replica.useSchema(schema);
  });

  const load = (): void => {
    replica.replace({
      Open_vSwitch: { [uuid(1)]: { initial: { bridges: ['set', [ref(2), ref(3)]], cur_cfg: 4, next_cfg: 5, ovs_version: '3.1.0', external_ids: ['map', [['system-id', 'h1']]] } } },
      Bridge: {
        [uuid(2)]: { initial: { name: 'br-int', ports: ['set', [ref(10), ref(11), ref(12), ref(99)]], datapath_id: '0000deadbeef0000', datapath_type: 'netdev', fail_mode: 'secure', external_ids: ['map', [['dfw-round', '7']]] } },
        [uuid(3)]: { initial: { name: 'br-ex' } },
      },
      Port: {
        [uuid(10)]: { initial: { name: 'pod-a', interfaces: ref(20), tag: 7, external_ids: ['map', [['pod-name', 'a'], ['pod-namespace', 'n']]] } },
        [uuid(11)]: { initial: { name: 'bond0', interfaces: ['set', [ref(21), ref(22)]] } },
        [uuid(12)]: { initial: { name: 'gone', interfaces: ref(98) } },
      },
      Interface: {
        [uuid(20)]: { initial: { name: 'pod-a', ofport: 3, ifindex: 12, mac_in_use: '02:00:00:00:00:01', link_state: 'up' } },
        [uuid(21)]: { initial: { name: 'eth1', ofport: -1, error: 'could not open network device eth1 (No such device)' } },
        [uuid(22)]: { initial: { name: 'eth0', ofport: 2, type: 'internal', link_state: 'down', ifindex: 0 } },
        [uuid(30)]: { initial: { name: 'elsewhere', ofport: 9 } },
      },
    }, 2);
  };

  it('are listed by name, with what is known of each', () => {
    load();
    expect(bridgePorts(replica, 'br-int')).toEqual([
      { name: 'eth0', port: 'bond0', uuid: uuid(22), portUuid: uuid(11), own: false, options: {}, ofport: 2, type: 'internal', mac: '', linkUp: false, error: '' },
      { name: 'eth1', port: 'bond0', uuid: uuid(21), portUuid: uuid(11), own: false, options: {}, type: '', mac: '', linkUp: false, error: 'could not open network device eth1 (No such device)' },
      { name: 'pod-a', port: 'pod-a', uuid: uuid(20), portUuid: uuid(10), own: false, options: {}, ofport: 3, ifindex: 12, type: '', mac: '02:00:00:00:00:01', linkUp: true, tag: 7, error: '', owner: { manager: 'antrea', workload: { kind: 'Pod', namespace: 'n', name: 'a' }, addresses: [], active: true } },
    ]);
    expect([bridgePorts(replica, 'br-ex'), bridgePorts(replica, 'br-none')]).toEqual([[], []]);
  });

  it('stand beside the facts of bridge and switch', () => {
    expect([switchFacts(replica), bridgeFacts(replica, 'br-int'), bridgePorts(replica, 'br-int')]).toEqual([undefined, undefined, []]);
    load();
    expect(switchFacts(replica)).toEqual({ version: '3.1.0', nextConfiguration: 5, currentConfiguration: 4, externalIds: ids({ 'system-id': 'h1' }), waitsForFlows: false });
    expect(bridgeFacts(replica, 'br-int')).toEqual({ uuid: uuid(2), name: 'br-int', datapathType: 'netdev', datapathId: '0000deadbeef0000', failMode: 'secure', externalIds: ids({ 'dfw-round': '7' }) });
    expect(bridgeFacts(replica, 'br-ex')).toMatchObject({ datapathType: 'system', datapathId: '', failMode: 'standalone' });
  });
});
