/**
 * The configuration of the daemon: one JSON Schema (draft-07, with description and default of every key) from which
 * validation, the command line, the environment variables, `--help` and docs/config.md are all made; and its TypeScript type.
 */
export interface FileSourceConfig { readonly type: 'file'; readonly path: string }
export interface KubernetesSourceConfig { readonly type: 'kubernetes'; readonly kubeconfig?: string }
export interface EtcdSourceConfig {
  readonly type: 'etcd';
  readonly endpoints: readonly string[];
  readonly prefix?: string;
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
}
export type SourceConfig = FileSourceConfig | KubernetesSourceConfig | EtcdSourceConfig;

export interface Config {
  readonly node: string;
  /** '' = unset. */
  readonly cluster: string;
  readonly datapath: 'nftables' | 'ovs';
  readonly ovs: { readonly bridge: string; readonly database: string; readonly discoverPorts: boolean; readonly firstTable: number; /** 0 = the bridge is the agent's. */ readonly nextTable: number };
  readonly sources: readonly SourceConfig[];
  readonly failurePolicy: 'closed' | 'open';
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
    readonly signatures: string;
    readonly eveFile: string;
    readonly homeNetworks: readonly string[];
    /** Command socket of an external engine; '' for none. */
    readonly commandSocket: string;
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
  readonly additionalProperties?: false;
  readonly properties?: Readonly<Record<string, ConfigSchema>>;
  readonly discriminator?: { readonly propertyName: string };
  readonly oneOf?: readonly ConfigSchema[];
}
/** Text formats; config-formats.ts says what each means. */
export type ConfigFormat = 'absolute-path' | 'interface-name' | 'listen-address' | 'http-url' | 'ovsdb-target' | 'node-name' | 'user-name' | 'network' | 'program' | 'optional-path';

const object = (properties: Readonly<Record<string, ConfigSchema>>): ConfigSchema => ({ type: 'object', default: {}, additionalProperties: false, properties });
const text = (format: ConfigFormat, description: string, value?: string): ConfigSchema => ({
  type: 'string', format, description, ...(value === undefined ? {} : { default: value }),
});
const oneOf = (values: readonly string[], value: string, description: string): ConfigSchema => ({ type: 'string', enum: values, default: value, description });
const integer = (minimum: number, maximum: number, value: number, description: string): ConfigSchema => ({ type: 'integer', minimum, maximum, default: value, description });

const sourceOfType = (type: SourceConfig['type'], required: readonly string[], properties: Readonly<Record<string, ConfigSchema>>): ConfigSchema => ({
  type: 'object', additionalProperties: false, required: ['type', ...required], properties: { type: { type: 'string', const: type }, ...properties },
});
const SOURCES: ConfigSchema = {
  type: 'array',
  minItems: 1,
  description: 'Where the desired state comes from: one or more sources, merged. '
    + '`{type: file, path: DIRECTORY}`, `{type: kubernetes, kubeconfig: FILE}` (in-cluster when omitted) or '
    + '`{type: etcd, endpoints: [URL], prefix: /dfw/v1, tls: {ca: FILE, cert: FILE, key: FILE}}`.',
  default: [{ type: 'file', path: '/etc/dfw-agent/manifests' }],
  items: {
    type: 'object',
    discriminator: { propertyName: 'type' },
    required: ['type'],
    oneOf: [
      sourceOfType('file', ['path'], { path: text('absolute-path', 'Directory of manifests, watched.') }),
      sourceOfType('kubernetes', [], { kubeconfig: text('absolute-path', 'In-cluster configuration when omitted.') }),
      sourceOfType('etcd', ['endpoints'], {
        endpoints: { type: 'array', minItems: 1, items: { type: 'string', format: 'http-url' } },
        prefix: { type: 'string', minLength: 1 },
        tls: {
          type: 'object', additionalProperties: false, required: ['ca', 'cert', 'key'],
          properties: {
            ca: text('absolute-path', 'Certificate authority.'),
            cert: text('absolute-path', 'Client certificate.'),
            key: text('absolute-path', 'Its key.'),
          },
        },
      }),
    ],
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
    firstTable: integer(0, 200, 0, 'Number of the first of the agent\'s tables, beside flows of others. They send packets there.'),
    nextTable: integer(0, 254, 0, 'Table of others where packets go on that may pass; 0: the bridge is the agent\'s, which forwards (docs/open-vswitch.md).'),
  }),
  sources: SOURCES,
  failurePolicy: oneOf(['closed', 'open'], 'closed', 'What a filter does before its first rule table: drop all, or accept all.'),
  api: object({
    socket: text('absolute-path', 'Unix socket of the API, mode 0660.', '/run/dfw-agent/agent.sock'),
    group: text('user-name', 'Group that may use the API, besides root; created by the packages. Peer credentials are checked too.', 'dfw'),
  }),
  metrics: object({ listen: text('listen-address', 'Address and port of /metrics (Prometheus) and /healthz; empty: none.', '127.0.0.1:9476') }),
  audit: object({
    path: text('absolute-path', 'Log of the decisions of rules with log; opened again on USR1.', '/var/log/dfw-agent/dfwpktlogs.log'),
    format: oneOf(['nsx', 'json'], 'nsx', 'One NSX-like line, or one JSON object, per decision.'),
  }),
  ids: object({
    enabled: { type: 'boolean', default: false, description: 'Mirror the workloads that TrafficControl objects pick, and read the alerts of the engine.' },
    tap: text('interface-name', 'Device that receives the copies (targetPort of TrafficControl objects).', 'dfw-tap0'),
    sensor: text('interface-name', 'Its other end, which the engine reads.', 'suricata-tap0'),
    engine: oneOf(['suricata', 'external'], 'suricata', 'suricata: the agent runs it. external: something else does (dfw-suricata.service), and the agent reads its eve.json.'),
    program: text('program', 'Executable of the managed engine.', 'suricata'),
    mode: oneOf(['ids', 'ips'], 'ids', 'Inspect copies, or stand in the path.'),
    signatures: text('absolute-path', 'Directory of *.rules files of the engine.', '/etc/dfw-agent/signatures'),
    eveFile: text('absolute-path', 'The engine\'s event log, written by the engine and read by the agent.', '/var/log/dfw-agent/suricata/eve.json'),
    homeNetworks: {
      type: 'array', items: { type: 'string', format: 'network' }, default: [], description: 'HOME_NET of the managed engine; empty: any address, so that traffic between two workloads is inspected both ways.',
    },
    commandSocket: text('optional-path', 'Command socket of an external engine, for `agentctl ids reload`; empty: none.', ''),
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
  conntrack: object({
    receiveBuffer: integer(65536, 1073741824, 33554432, 'Bytes of the socket buffer for connection events. Too small: events are lost, counted and made up for by a dump.'),
  }),
  resyncSeconds: integer(0, 86400, 300, 'Every so often the kernel is compared with what it should hold, besides at every event; 0: never.'),
} };
