/** The configuration file that the managed Suricata runs with; rendered whole, so nothing of /etc/suricata/suricata.yaml is needed. */

export interface SuricataSettings {
  /** Interface that gets the mirrored packets: the sensor end of the tap pair. Absent: there are none. */
  readonly sensor?: string;
  /**
   * Present: the engine also stands in the path (IPS) between these two: what comes in at one goes out at the other, unless a signature with the
   * action drop or reject matches. Whoever sends towards them must complete checksums and segment (transmit offloads off), because a raw socket
   * sends frames as they are.
   */
  readonly inline?: { readonly sensor: string; readonly peer: string };
  /** PACKET_FANOUT group of the sensor's socket, 1..65533 (those in the path take the next two); two engines on one host must not share it. */
  readonly clusterId: number;
  /** Directory for eve.json. */
  readonly logDirectory: string;
  /** Absolute path of eve.json. */
  readonly eveFile: string;
  /** Absolute path of the unix command socket. */
  readonly commandSocket: string;
  /** Rule files or glob patterns, absolute, in the order they are loaded. Patterns that match nothing are allowed. */
  readonly ruleFiles: readonly string[];
  /** Absent: Suricata's built-in default place. */
  readonly classificationFile?: string;
  readonly referenceFile?: string;
  /** Networks for HOME_NET; empty = any, so that traffic between two workloads matches rules of either direction. */
  readonly homeNetworks: readonly string[];
  /** Seconds between two stats records. */
  readonly statsInterval: number;
}

type Yaml = string | number | boolean | readonly Yaml[] | { readonly [key: string]: Yaml };

/**
 * Frames that the kernel mirrors are not yet segmented: up to 64 KB of payload with a partial checksum. Hence the packet
 * size and no checksum validation anywhere. 65535 IP bytes + Ethernet and two VLAN tags, rounded up.
 */
const PACKET_SIZE = 65_568;
/**
 * Must hold a frame of the largest size; a power of two and a multiple of the page size. No larger: the kernel closes a block after 10 ms however
 * little is in it, so that at low rates their number, and not their size, is how long the engine may be kept from reading (2.5 s).
 */
const BLOCK_SIZE = 1 << 17;
/** Must hold one frame of the largest size. */
const INLINE_BLOCK_SIZE = 1 << 17;
/** Frames of the largest size, one to a block: a ring of 33 MiB. */
const RING_FRAMES = 256;
/** The same ring in the path. */
const INLINE_RING_FRAMES = 512;
/** Packet objects of the engine; each reserves PACKET_SIZE bytes. */
const PENDING_PACKETS = 256;

/**
 * Whole suricata.yaml text for Suricata 7. Sizes are fixed and small: the engine stays below about 500 MiB whatever the
 * traffic does, and drops packets (counted in the stats records) rather than grow.
 */
export function renderSuricataConfig(settings: SuricataSettings): string {
  const home = settings.homeNetworks.length === 0 ? 'any' : `[${settings.homeNetworks.join(',')}]`;
  const document: Record<string, Yaml> = {
    'suricata-version': '7.0',
    vars: { 'address-groups': addressGroups(home), 'port-groups': PORT_GROUPS },
    'default-log-dir': settings.logDirectory,
    stats: { enabled: true, interval: settings.statsInterval },
    outputs: [{ 'eve-log': eveLog(settings) }],
    logging: { 'default-log-level': 'notice', outputs: [{ console: { enabled: true, type: 'json' } }] },
    'af-packet': captures(settings),
    // The sensor's offloads are the mirror's business: with them the kernel hands over large frames instead of segmenting.
    capture: { 'disable-offloading': false, 'checksum-validation': 'none' },
    runmode: 'workers',
    'max-pending-packets': PENDING_PACKETS,
    'default-packet-size': PACKET_SIZE,
    'unix-command': { enabled: true, filename: settings.commandSocket },
    'default-rule-path': settings.logDirectory,
    'rule-files': settings.ruleFiles,
    ...(settings.classificationFile === undefined ? {} : { 'classification-file': settings.classificationFile }),
    ...(settings.referenceFile === undefined ? {} : { 'reference-config-file': settings.referenceFile }),
    'host-mode': settings.inline === undefined ? 'sniffer-only' : 'router',
    'exception-policy': 'ignore',
    flow: { memcap: '64mb', 'hash-size': 16_384, prealloc: 1_000 },
    defrag: { memcap: '8mb', 'hash-size': 4_096, trackers: 4_096, 'max-frags': 8_192, prealloc: true, timeout: 60 },
    stream: {
      memcap: '32mb',
      'checksum-validation': false,
      inline: settings.inline !== undefined,
      // A policy may select a workload that already has connections: they are inspected from the middle on.
      midstream: true,
      reassembly: { memcap: '96mb', depth: '1mb' },
    },
    host: { 'hash-size': 1_024, prealloc: 100, memcap: '8mb' },
    detect: { profile: 'low', 'sgh-mpm-context': 'auto' },
    threading: { 'set-cpu-affinity': false, 'detect-thread-ratio': 1.0 },
    // No process may be started from the engine, whatever a signature or a parser's fault asks for.
    security: { 'limit-noproc': true },
  };
  return `%YAML 1.1\n---\n${renderMapping(document, 0)}`;
}

function captures({ sensor, clusterId, inline }: SuricataSettings): readonly Yaml[] {
  const copies = sensor === undefined ? [] : [{ ...capture(sensor, clusterId), defrag: true, 'tpacket-v3': true, 'block-size': BLOCK_SIZE }];
  if (inline === undefined) return copies;
  // TPACKET_V3 holds packets back until a block is full: no good in the path. The kernel must not join fragments that go on.
  const inPath = { defrag: false, 'tpacket-v3': false, 'v2-block-size': INLINE_BLOCK_SIZE, 'ring-size': INLINE_RING_FRAMES, 'copy-mode': 'ips' };
  return [
    ...copies,
    { ...capture(inline.sensor, clusterId + 1), ...inPath, 'copy-iface': inline.peer },
    { ...capture(inline.peer, clusterId + 2), ...inPath, 'copy-iface': inline.sensor },
  ];
}

function capture(device: string, clusterId: number): { readonly [key: string]: Yaml } {
  return {
    interface: device,
    threads: 1,
    'cluster-id': clusterId,
    'cluster-type': 'cluster_flow',
    'use-mmap': true,
    'ring-size': RING_FRAMES,
    'checksum-checks': 'no',
  };
}

function eveLog(settings: SuricataSettings): Yaml {
  return {
    enabled: true,
    filetype: 'regular',
    filename: settings.eveFile,
    'community-id': true,
    types: [
      { alert: { payload: false, packet: false, metadata: true, 'tagged-packets': false } },
      { stats: { totals: true, threads: false, deltas: false } },
    ],
  };
}

function addressGroups(home: string): Yaml {
  const servers = ['HTTP', 'SMTP', 'SQL', 'DNS', 'TELNET', 'DC'].map((name) => [`${name}_SERVERS`, '$HOME_NET'] as const);
  const industrial = ['DNP3', 'MODBUS', 'ENIP'].flatMap((name) => [[`${name}_SERVER`, '$HOME_NET'], [`${name}_CLIENT`, '$HOME_NET']] as const);
  return {
    HOME_NET: home,
    EXTERNAL_NET: 'any',
    ...Object.fromEntries(servers),
    AIM_SERVERS: '$EXTERNAL_NET',
    ...Object.fromEntries(industrial),
  };
}

/** The names that public rule sets use. */
const PORT_GROUPS: Yaml = {
  HTTP_PORTS: '[80,8000,8080]',
  SHELLCODE_PORTS: '!80',
  ORACLE_PORTS: '1521',
  SSH_PORTS: '22',
  DNP3_PORTS: '20000',
  MODBUS_PORTS: '502',
  FILE_DATA_PORTS: '[$HTTP_PORTS,110,143]',
  FTP_PORTS: '21',
  GENEVE_PORTS: '6081',
  VXLAN_PORTS: '4789',
  TEREDO_PORTS: '3544',
};

function renderMapping(mapping: { readonly [key: string]: Yaml }, depth: number): string {
  const indent = '  '.repeat(depth);
  return Object.entries(mapping)
    .map(([key, value]) => `${indent}${key}:${renderValue(value, depth)}`)
    .join('');
}

/** Text after "key:" or "-", newline included. */
function renderValue(value: Yaml, depth: number): string {
  if (typeof value === 'boolean') return value ? ' yes\n' : ' no\n';
  if (typeof value === 'number') return ` ${String(value)}\n`;
  // Everything that is text is quoted: names come from the agent's configuration and must not become YAML syntax.
  if (typeof value === 'string') return ` ${JSON.stringify(value)}\n`;
  if (isSequence(value)) {
    if (value.length === 0) return ' []\n';
    return `\n${value.map((item) => renderItem(item, depth + 1)).join('')}`;
  }
  return `\n${renderMapping(value, depth + 1)}`;
}

function renderItem(item: Yaml, depth: number): string {
  const indent = '  '.repeat(depth);
  if (typeof item !== 'object' || isSequence(item)) return `${indent}-${renderValue(item, depth)}`;
  // "- " takes the place of the first key's indentation.
  return `${indent}- ${renderMapping(item, depth + 1).slice(indent.length + 2)}`;
}

function isSequence(value: Yaml): value is readonly Yaml[] {
  return Array.isArray(value);
}
