/**
 * The typed contract of the native addon (native/*.cc, Node-API). Nothing here holds policy. Every call that may block
 * runs on a worker thread; buffers passed in must not be changed until the promise settles. Failures reject with an
 * Error that carries `errno` (positive number), `code` ("ENOBUFS") and `syscall`.
 * All sockets live in the network namespace that the process is in when they are opened.
 */
export interface NativeError extends Error {
  readonly errno: number;
  readonly code: string;
  readonly syscall: string;
}

// ---- nf_tables -------------------------------------------------------------------------------------------------
/** One or more complete nf_tables messages (nlmsghdr + nfgenmsg + attributes, 4-byte aligned, host byte order header). The addon fills in sequence numbers, batch framing and the one ACK flag. */
export interface RawSegment {
  readonly kind: 'raw';
  readonly bytes: Uint8Array;
}
/** Many elements of one set: encoded in C++ on the worker, split over as many messages as the 64 kB nesting limit asks. */
export interface ElementsSegment {
  readonly kind: 'elements';
  readonly op: 'add' | 'delete';
  /** NFPROTO_*: inet 1, netdev 5. */
  readonly family: number;
  readonly table: string;
  readonly set: string;
  readonly keyLength: number;
  /** count * keyLength bytes. */
  readonly keys: Uint8Array;
  /** 0 = a set, no data. */
  readonly dataLength: number;
  /** count * dataLength bytes; elements flagged interval-end take no data (their slot is ignored). */
  readonly data?: Uint8Array;
  /** One byte an element: bit 0 interval end, bit 1 catchall (key ignored). Absent = all 0. */
  readonly flags?: Uint8Array;
  /** Attach a counter expression to every element that is not an interval end. */
  readonly counter?: boolean;
}
export type Segment = RawSegment | ElementsSegment;

export interface BatchError {
  /** Index into the segments, or -1 for the batch as a whole. */
  readonly segment: number;
  /** Index of the message inside its segment. */
  readonly message: number;
  readonly errno: number;
  readonly code: string;
}
export interface BatchResult {
  /** True when the kernel committed the whole batch; false: nothing of it holds. ENOBUFS on the answer is resolved by comparing generations. */
  readonly committed: boolean;
  /** nf_tables generation id after the batch (NFT_MSG_GETGEN). */
  readonly generation: number;
  readonly errors: readonly BatchError[];
  readonly messages: number;
  readonly bytes: number;
}
export interface ElementDump {
  readonly count: number;
  readonly keys: Uint8Array;
  /** count * dataLength bytes (zero for interval ends); empty when the set has no data or holds verdicts. */
  readonly data: Uint8Array;
  /** As in ElementsSegment.flags. */
  readonly flags: Uint8Array;
  /** Packets and bytes of each element's counter, when `counters` was asked: 2 values an element, 0 where there is none. */
  readonly counters?: BigUint64Array;
}
export interface NftSocket {
  /** `notAfter`: CLOCK_MONOTONIC in ms (process.hrtime); read right before the kernel is asked, past it nothing is sent: rejects with ETIMEDOUT. */
  transact(segments: readonly Segment[], notAfter?: number): Promise<BatchResult>;
  /** Dump of one set's elements. Rejects with ENOENT when table or set is absent. An interrupted dump (NLM_F_DUMP_INTR) is repeated inside. */
  dumpElements(request: { family: number; table: string; set: string; keyLength: number; dataLength: number; counters?: boolean }): Promise<ElementDump>;
  /** Dump by message type (NFT_MSG_GETTABLE 1, GETCHAIN 4, GETRULE 7, GETSET 10, GETSETELEM 13): `payload` = nfgenmsg + attributes; answer = raw messages back to back. */
  dump(type: number, payload: Uint8Array): Promise<Uint8Array>;
  generation(): Promise<number>;
  close(): void;
}
/** Joins NFNLGRP_NFTABLES. `listener` gets raw messages back to back, batched; `null` when events were lost (ENOBUFS). */
export interface NftMonitor {
  start(listener: (messages: Uint8Array | null) => void): void;
  stop(): void;
}

// ---- connection tracking ---------------------------------------------------------------------------------------
export interface FlowTableOptions {
  /** SO_RCVBUFFORCE of the event socket, bytes; default 32 MiB. */
  readonly receiveBuffer?: number;
  /** Pause between drains of the event socket, ms; default 20. */
  readonly drainIntervalMs?: number;
  /** Label word values that mean "no filter on this side"; never counted as a rule. */
  readonly notApplicableIds: Uint32Array;
  /** Only connections of this conntrack zone; labels of others are somebody else's. Absent = any zone. */
  readonly zone?: number;
}
export interface FlowTableStats {
  /** Flows in the index (those with at least one rule id in their label). */
  readonly flows: number;
  readonly events: number;
  /** ENOBUFS on the event socket; each is followed by a resynchronizing dump. */
  readonly lost: number;
  readonly resyncs: number;
  readonly indexBytes: number;
}
/** One ended connection, for TERM audit lines. Emitted only for rule ids given to watchEnds(). */
export interface EndedFlow {
  readonly ruleIdOut: number;
  readonly ruleIdIn: number;
  readonly protocol: number;
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** TCP state at the end as kernel number (TCP_CONNTRACK_*), 0 for others. */
  readonly tcpState: number;
  readonly packets: { readonly original: number; readonly reply: number };
  readonly bytes: { readonly original: number; readonly reply: number };
}
export interface FlowRecord {
  /** conntrack id (CTA_ID). */
  readonly id: number;
  readonly family: 4 | 6;
  readonly protocol: number;
  readonly source: string;
  readonly sourcePort: number; // ICMP: 0
  /** Destination after DNAT (reply source). */
  readonly destination: string;
  readonly destinationPort: number; // ICMP: type * 256 + code
  /** Destination as the client sees it (original destination). */
  readonly originalDestination: string;
  readonly originalDestinationPort: number;
  readonly ruleIdOut: number; // label word 2, 0 = none
  readonly ruleIdIn: number; // label word 3
  readonly tcpState: number; // TCP_CONNTRACK_*, 0 = not TCP
  readonly status: number; // IPS_*
  readonly timeoutSeconds: number;
  /** 0 when the kernel keeps no timestamps. */
  readonly startMs: number;
  readonly packets: { readonly original: number; readonly reply: number };
  readonly bytes: { readonly original: number; readonly reply: number };
}
export interface FlowQuery {
  /** Flows whose original source or reply source is one of these (canonical text). Absent = all. */
  readonly addresses?: readonly string[];
  /** Flows that carry one of these label ids in either word. Absent = all. */
  readonly ruleIds?: Uint32Array;
  /** Stop after this many; 0 or absent = no limit. */
  readonly limit?: number;
}
/**
 * How formatted flows name ids: for every label id its user-visible rule id and the direction of its stage; and the
 * filters by address. C++ formats whole lines so that a million flows never become JS objects.
 */
export interface FlowFormat {
  readonly kind: 'text' | 'json';
  /** Parallel arrays: label id -> visible rule id. */
  readonly labelIds: Uint32Array;
  readonly ruleIds: Uint32Array;
  /** The policy of each label id, for JSON: UTF-8 JSON objects in `text`, and begin and end of each label id's there (2 values an id; equal = none). */
  readonly policies?: { readonly text: Uint8Array; readonly spans: Uint32Array };
  /** Addresses that belong to the filter printed (decides direction 1 = in, 2 = out); absent: by which word is set, in first. */
  readonly localAddresses?: readonly string[];
}
/** Flows as numbers, as native/flow_packed.h reads them: what a connection tracker other than the kernel's has. */
export interface PackedFlows {
  readonly count: number;
  /** PACKED_FLOW_WORDS a flow, at the places of PACKED_FLOW. May be longer than `count` needs. */
  readonly words: Uint32Array;
  /** Five a flow: packets and bytes of the original direction, of the reply, and when it began (ms since 1970). Absent: all 0. */
  readonly numbers?: Float64Array;
}
/** Addresses are four words, most significant first, IPv4 in the first. */
export const PACKED_FLOW = {
  source: 0,
  /** As the client sees it. */
  originalDestination: 4,
  /** Source of the reply. */
  destination: 8,
  /** source port << 16 | original destination port; ICMP: id << 16 | type << 8 | code */
  ports: 12,
  /** source port of the reply << 16 | protocol << 8 | family (4 or 6) */
  kind: 13,
  id: 14,
  ruleOut: 15,
  ruleIn: 16,
  /** Seconds left. */
  timeout: 17,
  /** TCP_CONNTRACK_* */
  tcpState: 18,
  /** IPS_* */
  status: 19,
} as const;
export const PACKED_FLOW_WORDS = 20;

export interface FlowTable {
  /** Subscribes to conntrack events (NEW with labels, DESTROY), then dumps once; resolves when the index is complete. */
  start(): Promise<void>;
  stop(): void;
  stats(): FlowTableStats;
  /** Brings what stats() and countByAddress() answer up to date; absent where events do that. */
  refresh?(): Promise<void>;
  /** Connections that have an endpoint among the addresses, from the index (no kernel access). Each address counted apart. */
  countByAddress(addresses: readonly string[]): number;
  /** Few flows as objects, with fresh counters read from the kernel. Small answers only: rejects with E2BIG over 10,000. */
  query(query: FlowQuery): Promise<FlowRecord[]>;
  /** Formatted flows as chunks of whole lines (text) or of comma-separated JSON objects without the brackets (json); `onChunk` is called on the JS thread, at most `window` chunks unacknowledged. Resolves with the number of flows. */
  stream(query: FlowQuery, format: FlowFormat, onChunk: (chunk: Uint8Array) => Promise<void> | void): Promise<number>;
  /** Packets and bytes seen under each rule id, live and ended, by label word. Parallel arrays. */
  ruleTotals(): Promise<{ ids: Uint32Array; connections: BigUint64Array; packets: BigUint64Array; bytes: BigUint64Array }>;
  /** Clears label words 2/3 of every flow where that word is in `ids`, or is neither 0 nor in `known`. One dump + batched updates on a worker. */
  sweepLabels(request: { ids: Uint32Array; known: Uint32Array }): Promise<{ scanned: number; cleared: number }>;
  /** Which ended flows to report: those whose label holds one of the ids. Replaces the former selection. */
  watchEnds(ids: Uint32Array, listener: (ended: EndedFlow[]) => void): void;
}

// ---- NFLOG -----------------------------------------------------------------------------------------------------
export interface NflogPacket {
  readonly prefix: string;
  /** Interface indexes, 0 = none. In family bridge those of ports. */
  readonly indev: number;
  readonly outdev: number;
  readonly hook: number;
  readonly timestampMs: number;
  /** Packet length before the copy was cut. */
  readonly length: number;
  /** EtherType of the packet (host order): 0x0800, 0x86dd, ... */
  readonly ethertype: number;
  /** First `copyRange` bytes, from the network header. */
  readonly payload: Uint8Array;
  /** Ethernet header, VLAN tag included; empty in families without, and for what the host itself sends. */
  readonly link: Uint8Array;
}
export interface NflogReader {
  start(listener: (packets: NflogPacket[]) => void): void;
  stop(): void;
  /** Messages lost to ENOBUFS so far. */
  lost(): number;
}

/** Sends packets and frames that it was given whole (packet(7), raw(7)). Past routing and the IP hooks of netfilter, but for route(). */
export interface PacketSender {
  /** `packet`: from its IP header. To the neighbour that has its destination, else to whoever is at the other end. Throws NativeError. */
  send(request: { interfaceIndex: number; ethertype: number; packet: Uint8Array }): void;
  /** `frame`: from its Ethernet header. Throws NativeError. */
  sendFrame(request: { interfaceIndex: number; frame: Uint8Array }): void;
  /** As if the host itself sent it, whatever its source address. `interfaceIndex`: where a link-local IPv6 destination is. Throws NativeError. */
  route(request: { interfaceIndex: number; ethertype: number; packet: Uint8Array }): void;
  close(): void;
}

/** The newest frames of an interface, in memory of a fixed size, read by a thread of its own: the oldest give way. */
export interface PacketRing {
  /** Opens the socket and begins; throws NativeError, EALREADY when it runs. */
  start(interfaceIndex: number): void;
  /** Goes on with another interface: one that was made anew has another index. Throws NativeError. */
  bind(interfaceIndex: number): void;
  /** Ends and gives the memory back; twice does nothing. */
  stop(): void;
  /** All 0 when it is stopped. */
  stats(): PacketRingStats;
  /** Frames of one connection, both ways, oldest first; frames with an address or protocol but no port (later fragments) go by these. Rejects with NativeError. */
  find(request: PacketRingQuery): Promise<{
    /** PACKET_RECORD_BYTES of head (host order: size u32 of head and frame with its padding to 8, captured u32, length u32, 0 u32, ns since 1970 u64), then the frame. */
    readonly records: Uint8Array;
    /** False: there were more than `limitBytes`. */
    readonly complete: boolean;
    /** Of the oldest frame of any connection; 0 when there is none. */
    readonly oldestMs: number;
  }>;
}
export const PACKET_RECORD_BYTES = 24;
export interface PacketRingStats {
  /** Frames seen, frames that the socket had no room for, frames that are kept. */
  readonly packets: number;
  readonly dropped: number;
  readonly kept: number;
  readonly usedBytes: number;
  readonly capacityBytes: number;
  /** 0 when there is none. */
  readonly oldestMs: number;
}
export interface PacketRingQuery {
  readonly family: 4 | 6;
  /** IANA number. */
  readonly protocol: number;
  /** False: ports are not looked at. */
  readonly hasPorts: boolean;
  readonly a: { readonly address: string; readonly port: number };
  readonly b: { readonly address: string; readonly port: number };
  /** ms since 1970, whole, both included. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly limitBytes: number;
}

// ---- captures --------------------------------------------------------------------------------------------------
export interface PacketCaptureOptions {
  readonly interface: string;
  /** Bytes kept of each packet, 1..262144. */
  readonly snaplen: number;
  /** pcap-filter(7), at most 4096 bytes; absent or "" = every packet. */
  readonly filter?: string;
}
/** Packets of one interface as records of a pcap file (pcap-savefile(5), host byte order), not promiscuous. Its constructor throws EINVAL. */
export interface PacketCapture {
  /**
   * Opens on a worker thread; resolves with the LINKTYPE_* of the packets. `listener` gets whole records back to back, and their number.
   * Rejects with a NativeError: `syscall` pcap_compile = the expression is wrong; ENODEV, ENETDOWN, EPERM by pcap_activate; ECANCELED
   * after stop(); EALREADY when started.
   */
  start(listener: (records: Uint8Array, packets: number) => void): Promise<number>;
  /** The listener is not called any more. Idempotent; closing goes on in the background. start() may follow. */
  stop(): void;
  /** False when the interface has gone since start(), also if another one has its name now; and when not started. */
  attached(): boolean;
  /** Packets that the kernel (its ring was full) or the addon (no memory) left out since start(). */
  lost(): number;
}

// ---- links, taps, sockets --------------------------------------------------------------------------------------
export interface Link {
  readonly index: number;
  readonly name: string;
  readonly mac: string; // "" when it has none
  readonly mtu: number;
  readonly up: boolean;
  readonly kind: string; // "veth", "tun", "bridge", "" for physical
  readonly master: number; // index of the bridge, bond, ... that it is a port of; 0 = none
  readonly group: number; // 0 = that of everybody
  readonly alias: string; // for people; "" when it has none
  readonly rxBytes: number;
  readonly txBytes: number;
  readonly rxPackets: number;
  readonly rxDropped: number;
  readonly txPackets: number;
  readonly txDropped: number;
  readonly txErrors: number;
}
export interface LinkEvent {
  readonly type: 'new' | 'delete' | 'lost'; // lost: events were missed, list again
  readonly index: number;
  readonly name: string;
}
export interface LinkSocket {
  list(): Promise<Link[]>;
  createVeth(request: { name: string; peer: string; mtu?: number; group?: number }): Promise<void>; // EEXIST when a name is taken
  /**
   * A device that is down. `data`: contents of IFLA_INFO_DATA, at most 512 bytes. EEXIST: the name is taken, or what the kind allows once; EOPNOTSUPP: the kernel
   * knows no such kind.
   */
  create(request: { name: string; kind: string; mtu: number; group: number; data: Uint8Array }): Promise<void>;
  /** Where a vxlan device sends frames for addresses that it does not know: one destination, 4 or 16 bytes. EEXIST when it has one, ENODEV when there is no such device. */
  setForwarding(request: { interfaceIndex: number; address: Uint8Array; port: number; vni: number }): Promise<void>;
  /** Absent fields stay as they are. `arp: false` sets IFF_NOARP. */
  set(name: string, change: { up?: boolean; mtu?: number; arp?: boolean; promiscuous?: boolean; alias?: string }): Promise<void>;
  delete(name: string): Promise<void>; // ENODEV when absent
  monitor(listener: (events: LinkEvent[]) => void): void;
  close(): void;
}
export interface InterfaceAddress {
  readonly interfaceIndex: number;
  readonly address: string;
  readonly prefixLength: number;
  /** Infinity = for ever. */
  readonly validSeconds: number;
}
/** A default route through the tunnel device, to a host. `family`: of what is routed. */
export interface TunnelRoute {
  readonly family: 4 | 6;
  readonly table: number;
  readonly interfaceIndex: number;
  /** Host; either family, whatever `family` is. */
  readonly tunnelTo: string;
}
/** Packets with the mark look for their way in the table. */
export interface MarkRule {
  readonly family: 4 | 6;
  readonly table: number;
  readonly mark: number;
  readonly mask: number;
  readonly priority: number;
}
export interface RouteAnswer {
  readonly type: 'local' | 'unicast' | 'other';
  readonly interfaceIndex: number;
  /** Preferred source, "" = none said. */
  readonly source: string;
  /** "" = the destination is on the link. */
  readonly gateway: string;
}
/**
 * Addresses, routes and policy rules (rtnetlink(7)). Routes and rules made here carry routing protocol 223; only those are listed and
 * deleted. In order; rejects with NativeError.
 */
export interface AddressSocket {
  addresses(): Promise<InterfaceAddress[]>;
  /**
   * Adds a host address, or renews it: the kernel removes it when `validSeconds` (from 1) have passed, within 1 s, whatever becomes of the
   * process. The host itself never picks it as a source; IPv6 without duplicate address detection.
   */
  setAddress(request: { interfaceIndex: number; address: string; validSeconds: number }): Promise<void>;
  /** False when it was not there. */
  deleteAddress(request: { interfaceIndex: number; address: string }): Promise<boolean>;
  routes(): Promise<TunnelRoute[]>;
  /** Replaces the default route of the table. `tunnelId`: 24 bits. */
  setRoute(request: TunnelRoute & { tunnelId: number }): Promise<void>;
  /** False when there was none. */
  deleteRoute(request: { family: 4 | 6; table: number }): Promise<boolean>;
  rules(): Promise<MarkRule[]>;
  /** False when it was there. */
  addRule(rule: MarkRule): Promise<boolean>;
  /** False when it was not there. */
  deleteRule(rule: MarkRule): Promise<boolean>;
  /** How this host would send to the address; undefined: it cannot. */
  routeTo(address: string): Promise<RouteAnswer | undefined>;
  /** A VXLAN-GPE device whose packets carry no Ethernet headers and go where routes say (down, MTU as given). EEXIST when the name is taken. */
  createTunnel(request: { name: string; port: number; mtu: number }): Promise<void>;
  close(): void;
}
/** Where the kernel sends what is for an address (`ip route get ADDRESS fibmatch`). */
export interface RouteWay {
  /** direct: to the neighbour itself; gateway: by another host; several: by more than one way; local: an address of this host; none: nowhere. */
  readonly kind: 'direct' | 'gateway' | 'several' | 'local' | 'none';
  /** 0 where there is none, or more than one. */
  readonly interfaceIndex: number;
  /** Of the route that was found. */
  readonly prefixLength: number;
}
/** A neighbour whose MAC address is known now. */
export interface Neighbour {
  readonly interfaceIndex: number;
  /** Canonical. */
  readonly address: string;
  readonly mac: string;
}
/** What a bridge learned, or was told: the port behind which an address is. One entry a VLAN. */
export interface ForwardingEntry {
  readonly bridgeIndex: number;
  readonly interfaceIndex: number;
  readonly mac: string;
}
/** Reads the kernel's routes, neighbours and forwarding tables. Each rejects with a NativeError; EINVAL when a text is no address. */
export interface RouteSocket {
  /** One answer for each address, in their order. */
  lookup(addresses: readonly string[]): Promise<RouteWay[]>;
  /** Entries of these addresses, on all interfaces. */
  neighbours(addresses: readonly string[]): Promise<Neighbour[]>;
  /** Entries of these MAC addresses (lower case, with colons), of all bridges; not those of bridges and ports themselves. */
  forwarding(macs: readonly string[]): Promise<ForwardingEntry[]>;
  /** Called, at most once in 10 ms, after something of the kind changed or may have. A second call replaces the listener. */
  monitor(listener: (what: 'routes' | 'neighbours' | 'links') => void): void;
  close(): void;
}
/**
 * Where frames that come in by a device go on: a program (cls_bpf) at its ingress, which outlives the process. Sources are looked up before
 * destinations; a frame that fits no entry is dropped there.
 */
export interface ReturnPaths {
  /**
   * Replaces, at once, what the device has from us. `entries`: 12 bytes each: MAC address; 0 = as source: the frame goes on as if the interface had received
   * it, 1 = as destination: the interface sends it, past its egress hooks; 0; interface index, u32 in host order. `mark`: bits set in the packet's mark.
   * Resolves to the program's id. Rejects with NativeError: EPERM without CAP_BPF, ENODEV when the device is gone.
   */
  set(interfaceIndex: number, request: { mark: number; entries: Uint8Array }): Promise<number>;
  /** Id of the program that is in force; 0: none of ours, or no such device. */
  read(interfaceIndex: number): Promise<number>;
  /** Does nothing when there is none. */
  remove(interfaceIndex: number): Promise<void>;
  close(): void;
}
export interface TapDevice {
  readonly fd: number;
  readonly name: string;
}
export interface PeerCredentials { readonly pid: number; readonly uid: number; readonly gid: number }

export interface NativeBinding {
  NftSocket: new () => NftSocket;
  NftMonitor: new () => NftMonitor;
  FlowTable: new (options: FlowTableOptions) => FlowTable;
  /** `atOnce`: the kernel gathers no packets before it wakes us. Default: up to 64, for up to 100 ms. */
  NflogReader: new (options: { group: number; copyRange: number; receiveBuffer?: number; atOnce?: boolean }) => NflogReader;
  PacketSender: new () => PacketSender;
  /** `bytes`: 1 MiB to 4 GiB, taken as they are needed. */
  PacketRing: new (options: { bytes: number }) => PacketRing;
  PacketCapture: new (options: PacketCaptureOptions) => PacketCapture;
  LinkSocket: new () => LinkSocket;
  RouteSocket: new () => RouteSocket;
  ReturnPaths: new () => ReturnPaths;
  AddressSocket: new () => AddressSocket;
  /** As FlowTable.stream, of flows that the caller has. The arrays must not be changed until it settles. */
  streamFlows(flows: PackedFlows, query: FlowQuery, format: FlowFormat, onChunk: (chunk: Uint8Array) => Promise<void> | void): Promise<number>;
  /**
   * Ends connections (zone 0) whose source was translated to another address than it shall be, but for those to `except` (prefixes); their next
   * packet begins a new one. `wanted`: source, translated, source, translated...; `former`: those that were translated to just that end,
   * wherever they go. Resolves to how many.
   */
  endOtherTranslations(request: { wanted: readonly string[]; former: readonly string[]; except: readonly string[] }): Promise<number>;
  /** Creates (or attaches to) a TAP; `vnetHdr` also turns on TSO/checksum offloads; `persist` keeps it after close. */
  openTap(request: { name: string; vnetHdr: boolean; persist: boolean }): TapDevice;
  closeTap(fd: number): void;
  /** SO_PEERCRED of a connected Unix socket. */
  peerCredentials(fd: number): PeerCredentials;
  /**
   * From now on the kernel completes checksums and segments before it hands frames to this device (ethtool: tx off), for readers of raw frames that
   * send them on. Throws NativeError: ENODEV when there is no such device, EOPNOTSUPP when it cannot.
   */
  finishFrames(interfaceName: string): void;
  /** CLOCK_MONOTONIC of the machine: the same in every process. */
  monotonicMs(): number;
  /** One datagram to a unix socket (path or @abstract), without waiting: $NOTIFY_SOCKET, /dev/log. Throws NativeError, EAGAIN when its queue is full. */
  sdNotify(socketPath: string, state: string): void;
}
