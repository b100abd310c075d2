/**
 * The configuration of the daemon: one JSON Schema (draft-07, with description and default of every key) from which
 * validation, the command line, the environment variables, `--help` and docs/config.md are all made; and its TypeScript type.
 */
export interface FileSourceConfig { readonly type: 'file'; readonly path: string }
export interface KubernetesSourceConfig {
  readonly type: 'kubernetes';
  readonly kubeconfig?: string;
  /** Absent or empty = all. */
  readonly namespaces?: readonly string[];
}
export interface EtcdSourceConfig {
  readonly type: 'etcd';
  readonly endpoints: readonly string[];
  /** Absent = /dfw/v1. */
  readonly prefix?: string;
  readonly tls?: TlsConfig;
  /** Both or none. */
  readonly user?: string;
  readonly passwordFile?: string;
  /** Whether workloads of this host are published; absent = true. */
  readonly publish?: boolean;
  /** Seconds; absent = 60. */
  readonly grace?: number;
}
interface SinkCommon {
  /** Unique; absent = its type. */
  readonly name?: string;
  readonly severity?: number;
  readonly selector?: SelectorConfig;
}
export interface SelectorConfig {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly { readonly key: string; readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'; readonly values?: readonly string[] }[];
}
export interface TlsConfig { readonly ca?: string; readonly cert?: string; readonly key?: string; readonly serverName?: string }
export type AlertSinkConfig = SinkCommon & (
  | { readonly type: 'audit' }
  | { readonly type: 'file'; readonly path: string }
  | { readonly type: 'syslog'; readonly address: string; readonly facility?: SyslogFacilityConfig; readonly tls?: TlsConfig }
  | { readonly type: 'http'; readonly url: string; readonly batch?: number; readonly headers?: Readonly<Record<string, string>>; readonly tls?: TlsConfig }
);
export type SyslogFacilityConfig = 'auth' | 'authpriv' | 'daemon' | 'local0' | 'local1' | 'local2' | 'local3' | 'local4' | 'local5' | 'local6' | 'local7' | 'user';
export interface ResponseConfig {
  readonly action: 'quarantine';
  /** Seconds. */
  readonly duration: number;
  /** Absent = any. */
  readonly signatureIds?: readonly number[];
  readonly severities?: readonly number[];
  /** Workloads that are never touched. */
  readonly except?: SelectorConfig;
}
export interface QuarantineAllowConfig {
  readonly addresses: readonly string[];
  readonly protocol?: 'tcp' | 'udp' | 'icmp';
  readonly ports?: readonly number[];
}
/** This host as a Node object. */
export interface NodeConfig {
  readonly enabled: boolean;
  readonly labels: Readonly<Record<string, string>>;
  /** [] = those from which this host sends by its default routes. */
  readonly addresses: readonly string[];
}
export type SourceConfig = FileSourceConfig | KubernetesSourceConfig | EtcdSourceConfig;

export interface Config {
  readonly node: string;
  /** '' = unset. */
  readonly cluster: string;
  readonly datapath: 'nftables' | 'ovs';
  readonly ovs: { readonly bridge: string; readonly database: string; readonly discoverPorts: boolean;
    readonly endRestoreWait: boolean; readonly firstTable: number; /** 0 = the bridge is the agent's. */ readonly nextTable: number };
  readonly sources: readonly SourceConfig[];
  readonly discovery: { readonly pods: boolean; /** '' = none. */ readonly libvirt: string; readonly node: NodeConfig };
  /** '' = none. */
  readonly cni: { readonly socket: string; readonly interfaces: readonly string[] };
  readonly failurePolicy: 'closed' | 'open';
  readonly spoofGuard: 'off' | 'declared';
  readonly api: { readonly socket: string; readonly group: string };
  /** host:port, or '' for none. */
  readonly metrics: { readonly listen: string };
  readonly audit: { readonly path: string; readonly format: 'nsx' | 'json' };
  readonly ids: {
    readonly enabled: boolean;
    readonly tap: string;
    readonly sensor: string;
    readonly engine: 'suricata' | 'external';
    /** Executable of the managed engine: a path, or a name looked up in PATH. */
    readonly program: string;
    readonly mode: 'ids' | 'ips';
    readonly inlineTap: string;
    readonly inlineSensor: string;
    readonly returnTap: string;
    readonly returnSensor: string;
    readonly returnedMark: number;
    readonly signatures: string;
    /** Absolute path or URL; '' for none. */
    readonly bundle: string;
    /** sha256, path or URL; '' for none. */
    readonly bundleChecksum: string;
    /** Seconds; 0 for only when asked. */
    readonly bundleInterval: number;
    /** '' for the well-known authorities. */
    readonly bundleCa: string;
    readonly allowFailedSignatures: number;
    readonly eveFile: string;
    readonly homeNetworks: readonly string[];
    /** Command socket of an external engine; '' for none. */
    readonly commandSocket: string;
    /** Where an external engine finds its configuration; '' for its own. */
    readonly engineDirectory: string;
    readonly endsWithAgent: boolean;
    /** Bytes of the managed engine; 0 for no limit. */
    readonly memoryLimit: number;
    /** Percent of one processor; 0 for no limit. */
    readonly processorLimit: number;
    /** Seconds; 0 = every alert is given out. */
    readonly alertWindow: number;
    readonly sinks: readonly AlertSinkConfig[];
    readonly pcap: { readonly enabled: boolean; readonly bytes: number };
    readonly response: readonly ResponseConfig[];
    readonly quarantine: { readonly allow: readonly QuarantineAllowConfig[] };
  };
  readonly stateDir: string;
  readonly log: { readonly level: LogLevel };
  readonly nflogGroup: number;
  readonly dns: {
    /** Seconds. */
    readonly minTTL: number;
    readonly holdReplies: boolean;
    /** Whose answers count; empty = anybody's. */
    readonly servers: readonly string[];
    readonly nflogGroup: number;
  };
  readonly bridge: { readonly nflogGroup: number };
  readonly egress: {
    readonly leases: 'none' | 'file' | 'etcd' | 'kubernetes';
    /** Of the Lease objects. */
    readonly namespace: string;
    /** '' = none. */
    readonly directory: string;
    readonly leaseMs: number;
    readonly exceptCidrs: readonly string[];
    /** '' = by the route to the address. */
    readonly interface: string;
    readonly device: string;
    /** '' = of the Node object. */
    readonly tunnelAddress: string;
    readonly tunnelPort: number;
    readonly markMask: number;
    readonly routeTable: number;
    readonly rulePriority: number;
  };
  readonly conntrack: { readonly receiveBuffer: number };
  readonly resyncSeconds: number;
}
export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

/** The part of JSON Schema used here. */
export interface ConfigSchema {
  readonly type: 'object' | 'array' | 'string' | 'integer' | 'boolean';
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly const?: string;
  readonly format?: ConfigFormat;
  readonly minLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly items?: ConfigSchema;
  readonly required?: readonly string[];
  readonly additionalProperties?: false | ConfigSchema;
  readonly properties?: Readonly<Record<string, ConfigSchema>>;
  readonly discriminator?: { readonly propertyName: string };
  readonly oneOf?: readonly ConfigSchema[];
}
/** Text formats; config-formats.ts says what each means. */
export type ConfigFormat = 'absolute-path' | 'interface-name' | 'listen-address' | 'http-url' | 'ovsdb-target' | 'node-name' | 'user-name' | 'network' | 'program' | 'optional-path' | 'syslog-target' | 'sink-name' | 'host-name' | 'optional-interface' | 'optional-address' | 'bundle' | 'bundle-checksum' | 'etcd-endpoint' | 'etcd-prefix' | 'interface-pattern' | 'address' | 'label';

const object = (properties: Readonly<Record<string, ConfigSchema>>): ConfigSchema => ({ type: 'object', default: {}, additionalProperties: false, properties });
const text = (format: ConfigFormat, description: string, value?: string): ConfigSchema => ({
  type: 'string', format, description, ...(value === undefined ? {} : { default: value }),
});
const oneOf = (values: readonly string[], value: string, description: string): ConfigSchema => ({ type: 'string', enum: values, default: value, description });
const integer = (minimum: number, maximum: number, value: number, description: string): ConfigSchema => ({ type: 'integer', minimum, maximum, default: value, description });

const sourceOfType = (type: SourceConfig['type'], required: readonly string[], properties: Readonly<Record<string, ConfigSchema>>): ConfigSchema => ({
  type: 'object', additionalProperties: false, required: ['type', ...required], properties: { type: { type: 'string', const: type }, ...properties },
});
const TLS: ConfigSchema = {
  type: 'object', additionalProperties: false, properties: {
    ca: text('absolute-path', 'Certificate authority; the system\'s when omitted.'), cert: text('absolute-path', 'Client certificate.'),
    key: text('absolute-path', 'Its key.'), serverName: text('host-name', 'Name in the server\'s certificate.'),
  },
};
const SOURCES: ConfigSchema = {
  type: 'array',
  minItems: 1,
  description: 'Where the desired state comes from: one or more sources, merged. '
    + '`{type: file, path: DIRECTORY}`, `{type: kubernetes, kubeconfig: FILE, namespaces: [NAME]}` (in-cluster and all namespaces when omitted; docs/kubernetes.md) or '
    + '`{type: etcd, endpoints: [URL], prefix: /dfw/v1, tls: {ca: FILE, cert: FILE, key: FILE, serverName: NAME}, user: NAME, passwordFile: FILE, publish: true, grace: SECONDS}` (docs/etcd.md).',
  default: [{ type: 'file', path: '/etc/dfw-agent/manifests' }],
  items: {
    type: 'object',
    discriminator: { propertyName: 'type' },
    required: ['type'],
    oneOf: [
      sourceOfType('file', ['path'], { path: text('absolute-path', 'Directory of manifests, watched.') }),
      sourceOfType('kubernetes', [], {
        kubeconfig: text('absolute-path', 'In-cluster configuration when omitted.'),
        namespaces: { type: 'array', items: { type: 'string', minLength: 1 }, description: 'Of namespaced kinds, only objects in these; all when omitted.' },
      }),
      sourceOfType('etcd', ['endpoints'], {
        endpoints: { type: 'array', minItems: 1, items: { type: 'string', format: 'etcd-endpoint' } },
        prefix: text('etcd-prefix', 'Of all keys.'),
        tls: TLS,
        user: { type: 'string', minLength: 1 },
        passwordFile: text('absolute-path', 'Its first line is the password.'),
        publish: { type: 'boolean', description: 'Publish the workloads of this host.' },
        grace: { type: 'integer', minimum: 2, maximum: 86400, description: 'Seconds after which what a dead host published is gone.' },
      }),
    ],
  },
};

const LABELS: ConfigSchema = { type: 'object', additionalProperties: { type: 'string' } };
const TEXTS: ConfigSchema = { type: 'array', items: { type: 'string' } };
const SELECTOR: ConfigSchema = {
  type: 'object', additionalProperties: false, properties: {
    matchLabels: LABELS,
    matchExpressions: {
      type: 'array', items: {
        type: 'object', additionalProperties: false, required: ['key', 'operator'],
        properties: { key: { type: 'string', minLength: 1 }, operator: { type: 'string', enum: ['In', 'NotIn', 'Exists', 'DoesNotExist'] }, values: TEXTS },
      },
    },
  },
};
const FACILITIES: readonly SyslogFacilityConfig[] = ['auth', 'authpriv', 'daemon', 'user', 'local0', 'local1', 'local2', 'local3', 'local4', 'local5', 'local6', 'local7'];
const sinkOfType = (type: AlertSinkConfig['type'], required: readonly string[], properties: Readonly<Record<string, ConfigSchema>>): ConfigSchema => ({
  type: 'object', additionalProperties: false, required: ['type', ...required], properties: {
    type: { type: 'string', const: type }, name: text('sink-name', 'Unique.'), severity: { type: 'integer', minimum: 1, maximum: 255 }, selector: SELECTOR, ...properties,
  },
});
const SINKS: ConfigSchema = {
  type: 'array',
  description: 'Where alerts go (docs/ids-alerts.md), each with optional `name`, `severity` (this and worse) and `selector` (labels of the workload). `{type: audit}` (the audit log), `{type: file, path: FILE}`, '
    + '`{type: syslog, address: unix:PATH or udp:, tcp:, tls:HOST:PORT, facility: local0, tls: {ca, cert, key, serverName}}`, `{type: http, url: URL, batch: 100, headers: {}, tls: {}}`.',
  default: [{ type: 'audit' }],
  items: {
    type: 'object', discriminator: { propertyName: 'type' }, required: ['type'],
    oneOf: [
      sinkOfType('audit', [], {}),
      sinkOfType('file', ['path'], { path: text('absolute-path', 'JSON lines; opened again on USR1.') }),
      sinkOfType('syslog', ['address'], { address: text('syslog-target', 'Server.'), facility: { type: 'string', enum: FACILITIES }, tls: TLS }),
      sinkOfType('http', ['url'], { url: text('http-url', 'Receiver.'), batch: { type: 'integer', minimum: 1, maximum: 1000 }, headers: LABELS, tls: TLS }),
    ],
  },
};
const RESPONSE: ConfigSchema = {
  type: 'array',
  description: 'What the agent does about alerts by itself; the first that fits counts, none by default. `{signatureIds: [N], severities: [1], action: quarantine, duration: SECONDS, except: {matchLabels: {}}}`: '
    + 'signatureIds and severities select (both when both are given, one is needed), `except` spares workloads by label (docs/ids-alerts.md).',
  default: [],
  items: {
    type: 'object', additionalProperties: false, required: ['action', 'duration'],
    properties: {
      action: { type: 'string', enum: ['quarantine'] }, duration: { type: 'integer', minimum: 1, maximum: 31_536_000 },
      signatureIds: { type: 'array', minItems: 1, items: { type: 'integer', minimum: 1, maximum: 4_294_967_295 } },
      severities: { type: 'array', minItems: 1, items: { type: 'integer', minimum: 1, maximum: 255 } }, except: SELECTOR,
    },
  },
};
const ALLOW: ConfigSchema = {
  type: 'array',
  description: 'With whom a quarantined workload may still talk, where its rules admit it: `{addresses: [ADDRESS or PREFIX], protocol: tcp, udp or icmp, ports: [N]}`; both directions, ports are the server\'s.',
  default: [],
  items: {
    type: 'object', additionalProperties: false, required: ['addresses'], properties: {
      addresses: { type: 'array', minItems: 1, items: { type: 'string', format: 'network' } }, protocol: { type: 'string', enum: ['tcp', 'udp', 'icmp'] },
      ports: { type: 'array', minItems: 1, items: { type: 'integer', minimum: 1, maximum: 65535 } },
    },
  },
};

/** `node` has no default here: loadConfig fills in the host's name. */
export const CONFIG_SCHEMA: ConfigSchema = { type: 'object', additionalProperties: false, properties: {
  node: text('node-name', 'Name of this host, as Node objects and logs call it. Default: the host name.'),
  cluster: { type: 'string', default: '', description: 'Name of the Kubernetes cluster whose objects the sources hold, as group criteria call it (KubernetesCluster Name). Empty: it has no name, and every name means it.' },
  datapath: oneOf(['nftables', 'ovs'], 'nftables', 'What the rules are programmed into.'),
  ovs: object({
    bridge: text('interface-name', 'Bridge of the Open vSwitch datapath.', 'br-int'),
    database: text('ovsdb-target', 'OVSDB server.', 'unix:/run/openvswitch/db.sock'),
    discoverPorts: { type: 'boolean', default: true, description: 'Bind filters to ports of the bridge by what others wrote on them: pods of Antrea, ovn-kubernetes and Kube-OVN, virtual machines of libvirt and OpenStack (docs/open-vswitch.md). false: only by Attachment objects.' },
    endRestoreWait: { type: 'boolean', default: false, description: 'A switch that starts with other_config:flow-restore-wait is told to go on once the agent\'s flows are complete (docs/open-vswitch.md). false: whoever made it wait does that.' },
    firstTable: integer(0, 200, 0, 'Number of the first of the agent\'s tables, beside flows of others. They send packets there.'),
    nextTable: integer(0, 254, 0, 'Table of others where packets go on that may pass; 0: the bridge is the agent\'s, which forwards (docs/open-vswitch.md).'),
  }),
  sources: SOURCES,
  discovery: object({
    pods: { type: 'boolean', default: true, description: 'Bind filters to interfaces of this node\'s pods that no Attachment names: by the route to the pod\'s address, or its neighbour entry and the bridge\'s forwarding table (docs/discovery.md). false: not.' },
    libvirt: text('optional-path', 'Directory of libvirt\'s domain status files: virtual machines of this host, and filters for their interfaces (docs/discovery.md); empty: not.', '/run/libvirt/qemu'),
    node: object({
      enabled: { type: 'boolean', default: false, description: 'This host is a Node object of the name `node`, where no other source has one: for hosts without Kubernetes, whose groups and node selectors need nodes. With etcd other hosts have it, too (docs/discovery.md).' },
      labels: { ...LABELS, default: {}, description: 'Its labels, beside `kubernetes.io/hostname`.' },
      addresses: { type: 'array', items: { type: 'string', format: 'address' }, default: [], description: 'Its addresses; none: the one of each family from which this host sends by its default route.' },
    }),
  }),
  cni: object({
    socket: text('optional-path', 'Unix socket of the CNI plugin dfw-cni, root only; empty: none (docs/cni.md).', ''),
    interfaces: {
      type: 'array', items: { type: 'string', format: 'interface-pattern' }, default: [],
      description: 'Interfaces that container runtimes make, by name or by how names begin (`cali*`, `veth*`): closed while no filter is on them, from the moment they are there (datapath nftables; docs/cni.md).',
    },
  }),
  spoofGuard: oneOf(['off', 'declared'], 'off', 'declared: workloads send only from the MAC and IP addresses that are declared for them, and claim no others by ARP and neighbour discovery (docs/spoof-guard.md).'),
  failurePolicy: oneOf(['closed', 'open'], 'closed', 'What a filter does before its first rule table: drop all, or accept all.'),
  api: object({
    socket: text('absolute-path', 'Unix socket of the API, mode 0660.', '/run/dfw-agent/agent.sock'),
    group: text('user-name', 'Group that may use the API, besides root; created by the packages. Peer credentials are checked too.', 'dfw'),
  }),
  metrics: object({ listen: text('listen-address', 'Address and port of /metrics (Prometheus), /healthz and /livez; empty: none.', '127.0.0.1:9476') }),
  audit: object({
    path: text('absolute-path', 'Log of the decisions of rules with log; opened again on USR1.', '/var/log/dfw-agent/dfwpktlogs.log'),
    format: oneOf(['nsx', 'json'], 'nsx', 'One NSX-like line, or one JSON object, per decision.'),
  }),
  ids: object({
    enabled: { type: 'boolean', default: false, description: 'Mirror the workloads that TrafficControl objects pick, and read the alerts of the engine.' },
    tap: text('interface-name', 'Device that receives the copies (targetPort of TrafficControl objects).', 'dfw-tap0'),
    sensor: text('interface-name', 'Its other end, which the engine reads.', 'suricata-tap0'),
    engine: oneOf(['suricata', 'external'], 'suricata', 'suricata: the agent runs it. external: something else does (dfw-suricata.service, a container beside the agent\'s), and the agent reads its eve.json.'),
    program: text('program', 'Executable of the managed engine.', 'suricata'),
    mode: oneOf(['ids', 'ips'], 'ids', 'ids: the engine gets copies. ips: it can also stand in the path, for IDPSPolicy objects of mode prevent (docs/ids.md).'),
    inlineTap: text('interface-name', 'Device by which traffic leaves for the engine in its path (mode ips).', 'dfw-ips0'),
    inlineSensor: text('interface-name', 'Its other end, which the engine reads.', 'suricata-ips0'),
    returnTap: text('interface-name', 'Device by which traffic comes back from the engine (mode ips).', 'dfw-ips1'),
    returnSensor: text('interface-name', 'Its other end, to which the engine sends.', 'suricata-ips1'),
    returnedMark: integer(1, 4294967295, 64, 'Bit of the packet mark of traffic that an inspecting device gave back (datapath nftables): it is redirected once. No other software may use it.'),
    signatures: text('absolute-path', 'Directory of *.rules files of the engine.', '/etc/dfw-agent/signatures'),
    bundle: text('bundle', 'A tar.gz or zip archive with *.rules files, besides the directory: absolute path, or http(s) URL; empty: none (docs/ids.md).', ''),
    bundleChecksum: text('bundle-checksum', 'sha256 of the bundle: 64 hexadecimal digits, or path or URL of a file that holds them (as sha256sum writes it); empty: not checked.', ''),
    bundleInterval: integer(0, 2592000, 21600, 'Seconds between two fetches of the bundle, give or take a tenth; 0: only by `agentctl ids update`. A local file is also taken when it changes.'),
    bundleCa: text('optional-path', 'PEM file of the certificate authorities of the bundle\'s server; empty: the well-known ones.', ''),
    allowFailedSignatures: integer(0, 1000000, 0, 'So many signatures may be refused by the engine in a set that comes into force without them; with more of them nothing changes.'),
    eveFile: text('absolute-path', 'The engine\'s event log, written by the engine and read by the agent.', '/var/log/dfw-agent/suricata/eve.json'),
    homeNetworks: {
      type: 'array', items: { type: 'string', format: 'network' }, default: [], description: 'HOME_NET of the managed engine; empty: any address, so that traffic between two workloads is inspected both ways.',
    },
    commandSocket: text('optional-path', 'Command socket of an external engine, by which it is watched and told to reload; empty: none, and nobody knows whether it inspects.', ''),
    engineDirectory: text('optional-path', 'Directory where the agent writes suricata.yaml and the signatures of an external engine; needs commandSocket; empty: it has its own.', ''),
    endsWithAgent: {
      type: 'boolean', default: false, description: 'An external engine that is stopped together with the agent, as containers of one pod are: an agent that stops lets traffic pass, or drops it, as policies say for an engine that is gone.',
    },
    memoryLimit: integer(0, 1099511627776, 1610612736, 'Bytes that the managed engine may take, where the agent can make it a control group (docs/ids.md); 0: no limit.'),
    processorLimit: integer(0, 100000, 200, 'Percent of one processor that the managed engine may take, as memoryLimit; 0: no limit.'),
    alertWindow: integer(0, 86400, 60, 'Seconds in which alike alerts (signature, workload, direction, peer, port) are given out once and counted; 0: all are given out.'),
    sinks: SINKS,
    pcap: object({
      enabled: { type: 'boolean', default: false, description: 'Keep the newest packets of the sensor in memory, for `agentctl getalerts --pcap`.' },
      bytes: integer(1048576, 4294967296, 33554432, 'Memory for them; in mode ips as much again for what passes the engine.'),
    }),
    response: RESPONSE,
    quarantine: object({ allow: ALLOW }),
  }),
  stateDir: text('absolute-path', 'What must survive a restart: rule ids, filter numbers, attachments made with agentctl.', '/var/lib/dfw-agent'),
  log: object({ level: oneOf(['error', 'warn', 'info', 'debug'], 'info', 'Least severe level that is logged.') }),
  nflogGroup: integer(1, 65535, 223, 'NFLOG group of the packets of rules with log; no other program may read it.'),
  dns: object({
    minTTL: integer(0, 604800, 0, 'Seconds that an address of a domain name in a rule stands at least, whatever the TTL of the DNS reply; for clients that keep addresses longer than they should.'),
    holdReplies: { type: 'boolean', default: true, description: 'Hand DNS replies over UDP to workloads whose rules name domains on when what they say is in force, so that the first connection finds its address known; false: at once.' },
    servers: {
      type: 'array', items: { type: 'string', format: 'network' }, default: [], description: 'DNS servers whose answers count for domain names in rules, as the workloads address them; empty: whichever they ask.',
    },
    nflogGroup: integer(1, 65535, 224, 'NFLOG group of the copies of DNS replies; no other program may read it.'),
  }),
  bridge: object({
    nflogGroup: integer(1, 65535, 225, 'NFLOG group of the frames between ports of Linux bridges that rules reject, and the agent answers; no other program may read it.'),
  }),
  egress: object({
    leases: oneOf(['none', 'file', 'etcd', 'kubernetes'], 'none', 'Where nodes agree on who has which address of Egress objects. none: this agent does nothing about them, they are members of groups only. file: in egress.directory, for agents of one machine. etcd, kubernetes: in the etcd, or the API, of the source of that type; of several the first (docs/egress.md).'),
    directory: text('optional-path', 'Directory of the leases, with egress.leases file.', ''),
    namespace: text('label', 'Namespace of the Lease objects, with egress.leases kubernetes: one that holds nothing else, and exists.', 'dfw-egress'),
    leaseMs: integer(2000, 60000, 3000, 'Milliseconds after which a node that is not heard of has lost its addresses. Another one has them up to a sixth of it later.'),
    exceptCidrs: {
      type: 'array', items: { type: 'string', format: 'network' }, default: [],
      description: 'What selected pods reach with their own address: the cluster\'s networks. Added to it by themselves: addresses of nodes and spec.podCIDRs of Node objects, this host and link, multicast.',
    },
    interface: text('optional-interface', 'Interface that gets the addresses; empty: the one by which this host would send to them.', ''),
    device: text('interface-name', 'Tunnel device to the other nodes.', 'dfw-egress'),
    tunnelAddress: text('optional-address', 'Where this node takes tunnel packets; empty: the first address of its Node object, IPv4 before IPv6.', ''),
    tunnelPort: integer(1, 65535, 4790, 'UDP port of the tunnel (VXLAN-GPE), the same on all nodes.'),
    markMask: integer(1, 4294967295, 267386880, 'Bits of the packet mark, in a row, that say to which node a packet goes: 8 of them are enough for 255 nodes that have addresses. No other software may use them.'),
    routeTable: integer(1, 4294000000, 5720700, 'Routing tables behind this number are the agent\'s, as many as nodes.'),
    rulePriority: integer(1, 32765, 5720, 'Priority of the policy rules that lead to them.'),
  }),
  conntrack: object({
    receiveBuffer: integer(65536, 1073741824, 33554432, 'Bytes of the socket buffer for connection events. Too small: events are lost, counted and made up for by a dump.'),
  }),
  resyncSeconds: integer(0, 86400, 300, 'Every so often the kernel is compared with what it should hold, besides at every event; 0: never.'),
} };
