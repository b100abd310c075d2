/** Flows with every field and every action, and how ovs-ofctl prints them. */
import type { Instructions } from '../../src/drivers/ovs/openflow/actions.js';
import { PORT } from '../../src/drivers/ovs/openflow/constants.js';
import type { MatchField } from '../../src/drivers/ovs/openflow/match.js';
import { subfield } from '../../src/drivers/ovs/openflow/oxm.js';

export interface CorpusFlow {
  readonly match: readonly MatchField[];
  readonly instructions: Instructions;
  /** As `ovs-ofctl dump-flows --no-stats` prints the match ("" for all), and the actions. */
  readonly text: readonly [match: string, actions: string];
}

const ip: MatchField = { field: 'eth_type', value: 0x0800 };
const drop: Instructions = {};

/** Matches alone. */
export const MATCHES: readonly CorpusFlow[] = [
  { match: [], instructions: drop, text: ['', 'drop'] },
  { match: [{ field: 'in_port', value: 5 }], instructions: drop, text: ['in_port=5', 'drop'] },
  { match: [{ field: 'in_port', value: PORT.LOCAL }], instructions: drop, text: ['in_port=LOCAL', 'drop'] },
  { match: [{ field: 'actset_output', value: 7 }], instructions: drop, text: ['actset_output=7', 'drop'] },
  { match: [{ field: 'conj_id', value: 0xffff_ffff }], instructions: drop, text: ['conj_id=4294967295', 'drop'] },
  { match: [{ field: 'eth_src', value: 0x0102_0304_0506n, mask: 0xffff_ff00_0000n }, { field: 'eth_dst', value: Buffer.from('0a0b0c0d0e0f', 'hex') }], instructions: drop, text: ['dl_src=01:02:03:00:00:00/ff:ff:ff:00:00:00,dl_dst=0a:0b:0c:0d:0e:0f', 'drop'] },
  { match: [{ field: 'eth_type', value: 0x88cc }], instructions: drop, text: ['dl_type=0x88cc', 'drop'] },
  { match: [{ field: 'vlan_vid', value: 0x1005 }, { field: 'vlan_pcp', value: 3 }], instructions: drop, text: ['dl_vlan=5,dl_vlan_pcp=3', 'drop'] },
  { match: [{ field: 'vlan_pcp', value: 3 }], instructions: drop, text: ['dl_vlan_pcp=3', 'drop'] },
  { match: [{ field: 'vlan_tci', value: 0 }], instructions: drop, text: ['vlan_tci=0x0000/0x1fff', 'drop'] },
  { match: [{ field: 'vlan_tci', value: 0x1000, mask: 0x1000 }], instructions: drop, text: ['vlan_tci=0x1000/0x1000', 'drop'] },
  { match: [{ field: 'vlan_tci', value: 0x7005 }], instructions: drop, text: ['dl_vlan=5,dl_vlan_pcp=3', 'drop'] },
  { match: [{ field: 'ip_src', value: 0x0a01_0203, mask: 0xffff_0000 }, { field: 'ip_dst', value: Buffer.from([1, 2, 3, 4]) }], instructions: drop, text: ['ip,nw_src=10.1.0.0/16,nw_dst=1.2.3.4', 'drop'] },
  { match: [{ field: 'ipv6_src', value: 0xfd00n << 112n, mask: 0xffffn << 112n }, { field: 'ipv6_dst', value: 1n }, { field: 'ipv6_label', value: 5 }], instructions: drop, text: ['ipv6,ipv6_src=fd00::/16,ipv6_dst=::1,ipv6_label=0x00005', 'drop'] },
  { match: [ip, { field: 'ip_frag', value: 1 }], instructions: drop, text: ['ip,nw_frag=first', 'drop'] },
  { match: [ip, { field: 'ip_frag', value: 3 }], instructions: drop, text: ['ip,nw_frag=later', 'drop'] },
  { match: [ip, { field: 'ip_frag', value: 0 }], instructions: drop, text: ['ip,nw_frag=no', 'drop'] },
  { match: [ip, { field: 'ip_frag', value: 1, mask: 1 }], instructions: drop, text: ['ip,nw_frag=yes', 'drop'] },
  { match: [ip, { field: 'ip_frag', value: 0, mask: 2 }], instructions: drop, text: ['ip,nw_frag=not_later', 'drop'] },
  { match: [ip, { field: 'ip_dscp', value: 1 }, { field: 'ip_ecn', value: 1 }, { field: 'nw_ttl', value: 5 }], instructions: drop, text: ['ip,nw_tos=4,nw_ecn=1,nw_ttl=5', 'drop'] },
  { match: [ip, { field: 'ip_proto', value: 47 }], instructions: drop, text: ['ip,nw_proto=47', 'drop'] },
  { match: [ip, { field: 'tcp_src', value: 1024, mask: 0xfc00 }, { field: 'tcp_dst', value: 80 }, { field: 'tcp_flags', value: 0x002, mask: 0x012 }], instructions: drop, text: ['tcp,tp_src=0x400/0xfc00,tp_dst=80,tcp_flags=+syn-ack', 'drop'] },
  { match: [ip, { field: 'tcp_flags', value: 0x12 }], instructions: drop, text: ['tcp,tcp_flags=syn|ack', 'drop'] },
  { match: [{ field: 'eth_type', value: 0x86dd }, { field: 'udp_src', value: 53 }, { field: 'udp_dst', value: 0, mask: 0x8000 }], instructions: drop, text: ['udp6,tp_src=53,tp_dst=0x0/0x8000', 'drop'] },
  { match: [ip, { field: 'sctp_src', value: 1 }, { field: 'sctp_dst', value: 2 }], instructions: drop, text: ['sctp,tp_src=1,tp_dst=2', 'drop'] },
  { match: [{ field: 'icmp_type', value: 8 }, { field: 'icmp_code', value: 0 }], instructions: drop, text: ['icmp,icmp_type=8,icmp_code=0', 'drop'] },
  { match: [{ field: 'icmpv6_type', value: 128 }, { field: 'icmpv6_code', value: 1 }], instructions: drop, text: ['icmp6,icmp_type=128,icmp_code=1', 'drop'] },
  { match: [{ field: 'nd_target', value: 1n }, { field: 'nd_sll', value: 0x0102_0304_0506n }], instructions: drop, text: ['icmp6,icmp_type=135,nd_target=::1,nd_sll=01:02:03:04:05:06', 'drop'] },
  { match: [{ field: 'nd_tll', value: 0x0102_0304_0506n, mask: 0xff00_0000_0000n }], instructions: drop, text: ['icmp6,icmp_type=136,nd_tll=01:00:00:00:00:00/ff:00:00:00:00:00', 'drop'] },
  { match: [{ field: 'arp_op', value: 1 }, { field: 'arp_spa', value: 0x0101_0101 }, { field: 'arp_tpa', value: 0x0a00_0000, mask: 0xff00_0000 }, { field: 'arp_sha', value: 1n }, { field: 'arp_tha', value: 2n }], instructions: drop, text: ['arp,arp_spa=1.1.1.1,arp_tpa=10.0.0.0/8,arp_op=1,arp_sha=00:00:00:00:00:01,arp_tha=00:00:00:00:00:02', 'drop'] },
  { match: [{ field: 'eth_type', value: 0x8035 }, { field: 'arp_op', value: 3 }], instructions: drop, text: ['rarp,arp_op=3', 'drop'] },
  { match: [{ field: 'tun_id', value: 7 }, { field: 'tun_src', value: 1 }, { field: 'tun_dst', value: 2, mask: 0xff }], instructions: drop, text: ['tun_id=0x7,tun_src=0.0.0.1,tun_dst=0.0.0.2/0.0.0.255', 'drop'] },
  { match: [{ field: 'tun_ipv6_src', value: 1n }, { field: 'tun_ipv6_dst', value: 2n }, { field: 'tun_flags', value: 1 }], instructions: drop, text: ['tun_ipv6_src=::1,tun_ipv6_dst=::2,tun_flags=+oam', 'drop'] },
  { match: [{ field: 'reg1', value: 5, mask: 7 }, { field: 'reg2', value: 3 }, { field: 'reg3', value: 0xffff_ffff }, { field: 'reg15', value: 9 }], instructions: drop, text: ['reg1=0x5/0x7,reg2=0x3,reg3=0xffffffff,reg15=0x9', 'drop'] },
  { match: [{ field: 'xreg1', value: 0x1_0000_0002n }, { field: 'xxreg1', value: 1n << 96n, mask: 0xffff_ffffn << 96n }], instructions: drop, text: ['reg2=0x1,reg3=0x2,reg4=0x1', 'drop'] },
  { match: [{ field: 'pkt_mark', value: 5, mask: 0xff }, { field: 'ct_zone', value: 3 }, { field: 'ct_mark', value: 5 }, { field: 'ct_label', value: 1n << 100n, mask: 0xffn << 96n }], instructions: drop, text: ['pkt_mark=0x5/0xff,ct_zone=3,ct_mark=0x5,ct_label=0x10000000000000000000000000/0xff000000000000000000000000', 'drop'] },
  { match: [{ field: 'ct_state', value: 0x21, mask: 0x31 }], instructions: drop, text: ['ct_state=+new-inv+trk', 'drop'] },
  { match: [{ field: 'ct_state', value: 0x22, mask: 0x22 }, { field: 'ct_nw_src', value: 0x0102_0304 }, { field: 'ct_nw_dst', value: 0x0a00_0000, mask: 0xff00_0000 }, { field: 'ct_nw_proto', value: 6 }, { field: 'ct_tp_src', value: 0x400, mask: 0xfc00 }, { field: 'ct_tp_dst', value: 80 }], instructions: drop, text: ['ct_state=+est+trk,ct_nw_src=1.2.3.4,ct_nw_dst=10.0.0.0/8,ct_nw_proto=6,ct_tp_src=0x400/0xfc00,ct_tp_dst=80,ip', 'drop'] },
  { match: [{ field: 'ct_state', value: 0x20, mask: 0x30 }, { field: 'ct_ipv6_src', value: 1n }, { field: 'ct_ipv6_dst', value: 2n }], instructions: drop, text: ['ct_state=-inv+trk,ct_ipv6_src=::1,ct_ipv6_dst=::2,ipv6', 'drop'] },
  { match: [{ field: 'metadata', value: 0xffff_0000_0000_0000n, mask: 0xffff_0000_0000_0000n }], instructions: drop, text: ['metadata=0xffff000000000000/0xffff000000000000', 'drop'] },
];

const established: readonly MatchField[] = [ip, { field: 'ct_state', value: 0x22, mask: 0x22 }];
const ESTABLISHED = 'ct_state=+est+trk,ip';
const tagged: readonly MatchField[] = [{ field: 'vlan_vid', value: 0x1005 }];

/** Meter 5 and group 7 must exist. */
export const ACTIONS: readonly CorpusFlow[] = [
  { match: [], instructions: { apply: [{ type: 'output', port: 1 }, { type: 'output', port: PORT.LOCAL }, { type: 'output', port: PORT.IN_PORT }, { type: 'output', port: PORT.NORMAL }, { type: 'output', port: PORT.CONTROLLER, maxLength: 100 }] }, text: ['', 'output:1,LOCAL,IN_PORT,NORMAL,CONTROLLER:100'] },
  { match: [], instructions: { apply: [{ type: 'output_field', source: subfield('reg0', 0, 16) }, { type: 'output_field', source: subfield('metadata', 4, 32), maxLength: 7 }] }, text: ['', 'output:NXM_NX_REG0[0..15],output:OXM_OF_METADATA[4..35]'] },
  { match: [], instructions: { apply: [{ type: 'output_truncated', port: 1, maxLength: 100 }, { type: 'group', group: 7 }] }, text: ['', 'output(port=1,max_len=100),group:7'] },
  { match: [], instructions: { apply: [{ type: 'set_field', field: 'reg1', value: 5, mask: 15 }, { type: 'set_field', field: 'xxreg0', value: 5 }, { type: 'load', target: subfield('reg3', 4, 4), value: 5 }, { type: 'load', target: subfield('xxreg1', 65, 3), value: 3 }, { type: 'load', target: subfield('reg5'), value: 1 }, { type: 'set_field', field: 'xreg3', value: 1n << 40n, mask: 0xffn << 40n }] }, text: ['', 'set_field:0x5/0xf->reg1,set_field:0x5->xxreg0,set_field:0x50/0xf0->reg3,set_field:0x60000000000000000/0xe0000000000000000->xxreg1,set_field:0x1->reg5,set_field:0x10000000000/0xff0000000000->xreg3'] },
  { match: [], instructions: { apply: [{ type: 'set_field', field: 'eth_dst', value: 0x0102_0304_0506n }, { type: 'set_field', field: 'tun_id', value: 5 }, { type: 'set_field', field: 'metadata', value: 5, mask: 0xf }, { type: 'set_field', field: 'pkt_mark', value: 9 }] }, text: ['', 'set_field:01:02:03:04:05:06->eth_dst,set_field:0x5->tun_id,set_field:0x5/0xf->metadata,set_field:0x9->pkt_mark'] },
  { match: [ip], instructions: { apply: [{ type: 'set_field', field: 'ip_src', value: 0x0102_0304 }, { type: 'set_field', field: 'nw_ttl', value: 5 }, { type: 'dec_ttl' }, { type: 'dec_ttl', controllers: [1, 2] }] }, text: ['ip', 'set_field:1.2.3.4->ip_src,set_field:5->nw_ttl,dec_ttl,dec_ttl(1,2)'] },
  { match: [ip, { field: 'ip_proto', value: 6 }], instructions: { apply: [{ type: 'set_field', field: 'tcp_dst', value: 8080 }] }, text: ['tcp', 'set_field:8080->tcp_dst'] },
  { match: [], instructions: { apply: [{ type: 'move', source: subfield('reg0', 0, 16), target: subfield('reg1', 16, 16) }, { type: 'move', source: subfield('metadata', 0, 16), target: subfield('reg2', 0, 16) }, { type: 'move', source: subfield('in_port_16'), target: subfield('reg3', 0, 16) }, { type: 'move', source: subfield('ct_label', 0, 32), target: subfield('reg4') }, { type: 'move', source: subfield('eth_src'), target: subfield('eth_dst') }] }, text: ['', 'move:NXM_NX_REG0[0..15]->NXM_NX_REG1[16..31],move:OXM_OF_METADATA[0..15]->NXM_NX_REG2[0..15],move:NXM_OF_IN_PORT[]->NXM_NX_REG3[0..15],move:NXM_NX_CT_LABEL[0..31]->NXM_NX_REG4[],move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]'] },
  { match: established, instructions: { apply: [{ type: 'resubmit', table: 5 }, { type: 'resubmit', port: 7 }, { type: 'resubmit', port: 7, table: 8 }, { type: 'resubmit', table: 9, conntrackTuple: true }] }, text: [ESTABLISHED, 'resubmit(,5),resubmit:7,resubmit(7,8),resubmit(,9,ct)'] },
  { match: [ip], instructions: { apply: [{ type: 'ct', commit: true, zone: 5, table: 3, actions: [{ type: 'set_field', field: 'ct_mark', value: 5 }, { type: 'set_field', field: 'ct_label', value: 0x10, mask: 0xf0 }] }] }, text: ['ip', 'ct(commit,table=3,zone=5,exec(set_field:0x5->ct_mark,set_field:0x10/0xf0->ct_label))'] },
  { match: [ip], instructions: { apply: [{ type: 'ct', commit: true, actions: [{ type: 'move', source: subfield('xxreg1'), target: subfield('ct_label') }, { type: 'load', target: subfield('ct_label', 64, 32), value: 0xffff_ffff }] }] }, text: ['ip', 'ct(commit,exec(move:NXM_NX_XXREG1[]->NXM_NX_CT_LABEL[],set_field:0xffffffff0000000000000000/0xffffffff0000000000000000->ct_label))'] },
  { match: [ip], instructions: { apply: [{ type: 'ct', table: 7, zone: subfield('reg0', 0, 16) }, { type: 'ct_clear' }] }, text: ['ip', 'ct(table=7,zone=NXM_NX_REG0[0..15]),ct_clear'] },
  { match: [ip, { field: 'ip_proto', value: 6 }], instructions: { apply: [{ type: 'ct', commit: true, force: true, alg: 21 }] }, text: ['tcp', 'ct(commit,force,alg=ftp)'] },
  { match: [ip], instructions: { apply: [{ type: 'ct', commit: true, actions: [{ type: 'nat', direction: 'source', random: true, addresses: { family: 4, first: 0x0102_0304, last: 0x0102_0305 }, ports: { first: 100, last: 200 } }] }, { type: 'ct', actions: [{ type: 'nat' }] }] }, text: ['ip', 'ct(commit,nat(src=1.2.3.4-1.2.3.5:100-200,random)),ct(nat)'] },
  { match: [{ field: 'eth_type', value: 0x86dd }], instructions: { apply: [{ type: 'ct', commit: true, actions: [{ type: 'nat', direction: 'destination', persistent: true, hash: true, addresses: { family: 6, first: 1n }, ports: { first: 8080 } }] }] }, text: ['ipv6', 'ct(commit,nat(dst=[::1]:8080,persistent,hash))'] },
  {
    match: [],
    instructions: {
      apply: [{
        type: 'learn', table: 10, idleTimeout: 3, hardTimeout: 4, finIdleTimeout: 1, finHardTimeout: 2, priority: 77, cookie: 0x55n,
        specs: [
          { source: { field: 'eth_src', offset: 0 }, target: { kind: 'match', field: 'eth_dst', offset: 0 }, bits: 48 },
          { source: { value: 5 }, target: { kind: 'match', field: 'reg0', offset: 0 }, bits: 32 },
          { source: { field: 'in_port_16', offset: 0 }, target: { kind: 'load', field: 'reg1', offset: 0 }, bits: 16 },
          { source: { value: 0x123_4567 }, target: { kind: 'load', field: 'reg2', offset: 0 }, bits: 32 },
          { source: { field: 'in_port_16', offset: 0 }, target: { kind: 'output' }, bits: 16 },
        ],
      }],
    },
    text: ['', 'learn(table=10,idle_timeout=3,hard_timeout=4,fin_idle_timeout=1,fin_hard_timeout=2,priority=77,cookie=0x55,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],reg0=0x5,load:NXM_OF_IN_PORT[]->NXM_NX_REG1[0..15],load:0x1234567->NXM_NX_REG2[],output:NXM_OF_IN_PORT[])'],
  },
  {
    match: [],
    instructions: {
      apply: [{
        type: 'learn', table: 10, limit: 5, result: subfield('reg0', 3, 1), sendFlowRemoved: true, deleteLearned: true,
        specs: [{ source: { field: 'reg0', offset: 0 }, target: { kind: 'match', field: 'metadata', offset: 0 }, bits: 16 }],
      }],
    },
    text: ['', 'learn(table=10,send_flow_rem,delete_learned,limit=5,result_dst=NXM_NX_REG0[3],OXM_OF_METADATA[0..15]=NXM_NX_REG0[0..15])'],
  },
  { match: [{ field: 'reg7', value: 1 }], instructions: { apply: [{ type: 'conjunction', id: 7, clause: 1, clauses: 2 }, { type: 'conjunction', id: 0xffff_ffff, clause: 64, clauses: 64 }, { type: 'note', data: Buffer.from('010203', 'hex') }] }, text: ['reg7=0x1', 'conjunction(7,1/2),conjunction(4294967295,64/64),note:01.02.03.00.00.00'] },
  { match: [], instructions: { apply: [{ type: 'controller', maxLength: 77, controllerId: 3, reason: 0, userdata: Buffer.from('010203', 'hex'), pause: true, meter: 5 }, { type: 'controller', controllerId: 5 }, { type: 'controller', userdata: Buffer.from('01020304', 'hex') }] }, text: ['', 'controller(reason=no_match,max_len=77,id=3,userdata=01.02.03,pause,meter_id=5),controller(id=5),controller(userdata=01.02.03.04)'] },
  { match: [], instructions: { apply: [{ type: 'clone', actions: [{ type: 'set_field', field: 'reg0', value: 1 }, { type: 'clone', actions: [{ type: 'output', port: 2 }] }, { type: 'ct_clear' }] }, { type: 'note', data: Buffer.from('0102030405060708', 'hex') }, { type: 'exit' }] }, text: ['', 'clone(set_field:0x1->reg0,clone(output:2),ct_clear),note:01.02.03.04.05.06.07.08.00.00.00.00.00.00,exit'] },
  { match: tagged, instructions: { apply: [{ type: 'set_field', field: 'vlan_vid', value: 0x1006 }, { type: 'set_field', field: 'vlan_pcp', value: 2 }, { type: 'pop_vlan' }, { type: 'push_vlan' }, { type: 'push_vlan', etherType: 0x88a8 }] }, text: ['dl_vlan=5', 'set_field:4102->vlan_vid,set_field:2->vlan_pcp,pop_vlan,push_vlan:0x8100,push_vlan:0x88a8'] },
  { match: [], instructions: { apply: [{ type: 'stack_push', part: subfield('reg0', 0, 4) }, { type: 'stack_push', part: subfield('metadata') }, { type: 'stack_pop', part: subfield('reg2', 8, 4) }, { type: 'check_packet_larger', length: 1500, target: subfield('reg0', 31, 1) }] }, text: ['', 'push:NXM_NX_REG0[0..3],push:OXM_OF_METADATA[],pop:NXM_NX_REG2[8..11],check_pkt_larger(1500)->NXM_NX_REG0[31]'] },
  { match: [], instructions: { apply: [{ type: 'multipath', fields: 'symmetric_l3l4+udp', modulus: 10, target: subfield('reg6', 0, 17) }, { type: 'multipath', fields: 'symmetric_l4', basis: 50, modulus: 0x1_0000, target: subfield('reg0', 4, 16) }] }, text: ['', 'multipath(symmetric_l3l4+udp,0,modulo_n,10,0,NXM_NX_REG6[0..16]),multipath(symmetric_l4,50,modulo_n,65536,0,NXM_NX_REG0[4..19])'] },
  { match: [], instructions: { apply: [{ type: 'meter', meter: 5 }, { type: 'output', port: 1 }] }, text: ['', 'meter:5,output:1'] },
  { match: [], instructions: { apply: [{ type: 'output', port: 1 }], clear: true, metadata: { value: 5n, mask: 7n }, goto: 250 }, text: ['', 'output:1,clear_actions,write_metadata:0x5/0x7,goto_table:250'] },
  { match: [], instructions: { write: [{ type: 'output', port: 1 }], goto: 250 }, text: ['', 'write_actions(output:1),goto_table:250'] },
];
