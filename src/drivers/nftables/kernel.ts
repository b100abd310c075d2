/** Numbers of include/uapi/linux/netfilter/nf_tables.h, as far as this driver uses them. */
export const FAMILY = { inet: 1, ipv4: 2, arp: 3, netdev: 5, bridge: 7, ipv6: 10 } as const;
const SUBSYSTEM = 10 << 8; // NFNL_SUBSYS_NFTABLES
export const MESSAGE = {
  newTable: SUBSYSTEM | 0, getTable: SUBSYSTEM | 1, deleteTable: SUBSYSTEM | 2,
  newChain: SUBSYSTEM | 3, getChain: SUBSYSTEM | 4, deleteChain: SUBSYSTEM | 5,
  newRule: SUBSYSTEM | 6, getRule: SUBSYSTEM | 7, deleteRule: SUBSYSTEM | 8,
  newSet: SUBSYSTEM | 9, getSet: SUBSYSTEM | 10, deleteSet: SUBSYSTEM | 11,
  newElements: SUBSYSTEM | 12, getElements: SUBSYSTEM | 13, deleteElements: SUBSYSTEM | 14,
  newObject: SUBSYSTEM | 18, getObject: SUBSYSTEM | 19, deleteObject: SUBSYSTEM | 20,
} as const;
export const FLAG = { request: 0x1, create: 0x400, append: 0x800, exclusive: 0x200 } as const;
export const HOOK = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4, netdevIngress: 0, netdevEgress: 1 } as const;
export const SET_FLAG = { anonymous: 1, constant: 2, interval: 4, map: 8, timeout: 16 } as const;
export const ELEMENT_FLAG = { intervalEnd: 1, catchall: 2 } as const;
export const VERDICT = { drop: 0, accept: 1, jump: -3, goto: -4, return: -5 } as const;
/** Data type of verdict maps (NFT_DATA_VERDICT). */
export const DATA_VERDICT = 0xffffff00;
/** nft's own datatype numbers: what makes listings readable and loadable. */
export const TYPE = {
  ipv4: 7, ipv6: 8, ether: 9, protocol: 12, service: 13, mark: 19, ifname: 41,
  /** ifname . ifname: nft's numbers of the parts, six bits each. */
  twoIfnames: (41 << 6) | 41,
} as const;
export const META = { protocol: 1, mark: 3, iifname: 6, oifname: 7, skuid: 10, nfproto: 15, l4proto: 16 } as const;
export const CT = {
  state: 0, direction: 1, status: 2, protocol: 10, protoSource: 11, protoDestination: 12, labels: 13, packets: 14,
  sourceIp: 19, destinationIp: 20, sourceIp6: 21, destinationIp6: 22,
} as const;
export const CT_STATE = { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 } as const;
/** enum ip_conntrack_status of include/uapi/linux/netfilter/nf_conntrack_common.h. */
export const CT_STATUS = { destinationNat: 1 << 5 } as const;
/** As `meta protocol` has it. */
export const ETHERTYPE = { ipv4: 0x0800, ipv6: 0x86dd } as const;
/** FIB lookups: which address, by which interface, and how the answer comes. */
export const FIB = { resultOif: 1, resultType: 3, saddr: 1, daddr: 2, iif: 8, present: 32 } as const;
/** NFT_OBJECT_*: what a named object is. */
export const OBJECT = { limit: 4 } as const;
/** IPv6's fragment header (RFC 8200, section 4.5). */
export const FRAGMENT_HEADER = 44;
export const PAYLOAD = { link: 0, network: 1, transport: 2 } as const;

/** The n-th 32-bit register. */
export function register(n: number): number {
  return 8 + n;
}
export const VERDICT_REGISTER = 0;
