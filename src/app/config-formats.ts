import { isIP } from 'node:net';
import { labelProblem } from '../model/names.js';
import { parseEndpoint } from '../sources/etcd/client/endpoint.js';
import type { ConfigFormat } from './config-schema.js';

interface Format { readonly accepts: (text: string) => boolean; readonly reason: string }

/** What each text format of the schema accepts, and how a refusal is worded. */
export const CONFIG_FORMATS: Readonly<Record<ConfigFormat, Format>> = {
  'absolute-path': { accepts: (text) => /^\/[^\0]*$/.test(text) && text.length < 4096, reason: 'must be an absolute path' },
  // IFNAMSIZ is 16 with the closing zero; the kernel refuses '/', ':' and white space, and the names '.' and '..' (dev_valid_name()).
  'interface-name': {
    accepts: (text) => /^[^\s/:\0]{1,15}$/.test(text) && text !== '.' && text !== '..' && Buffer.byteLength(text) <= 15,
    reason: 'must be an interface name: 1 to 15 bytes without "/", ":" or white space',
  },
  // Short beginnings would close the host's own interfaces.
  'interface-pattern': {
    accepts: (text) => (text.includes('*') ? /^[^\s/:*\0]{3,14}\*$/.test(text) : CONFIG_FORMATS['interface-name'].accepts(text)),
    reason: 'must be an interface name, or at least 3 characters of its begin and "*"',
  },
  'listen-address': { accepts: (text) => text === '' || parseListen(text) !== undefined, reason: 'must be ADDRESS:PORT (IPv6 in brackets), or empty for none' },
  'http-url': { accepts: isHttpUrl, reason: 'must be an http:// or https:// URL' },
  'ovsdb-target': { accepts: (text) => /^(unix:\/.+|(tcp|ssl):.+:\d+)$/.test(text), reason: 'must be unix:PATH, tcp:ADDRESS:PORT or ssl:ADDRESS:PORT' },
  // RFC 1123 subdomain, as Kubernetes names nodes; upper case is let in because host names have it.
  'node-name': { accepts: (text) => text.length <= 253 && /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/.test(text), reason: 'must be a host name' },
  // RFC 1123 label, as Kubernetes names namespaces.
  label: { accepts: (text) => labelProblem(text) === undefined, reason: 'must be lower case letters, digits and -, at most 63' },
  'user-name': { accepts: (text) => /^[a-z_][-a-z0-9_]{0,31}$/.test(text), reason: 'must be a group name' },
  network: { accepts: isNetwork, reason: 'must be an address or a prefix' },
  program: { accepts: (text) => /^(\/[^\0]+|[^/\s\0]+)$/.test(text), reason: 'must be the name of a program or an absolute path' },
  'optional-path': { accepts: (text) => text === '' || CONFIG_FORMATS['absolute-path'].accepts(text), reason: 'must be an absolute path, or empty for none' },
  'syslog-target': { accepts: (text) => parseSyslogTarget(text) !== undefined, reason: 'must be unix:PATH, or udp:, tcp: or tls: and HOST:PORT (IPv6 in brackets)' },
  'sink-name': { accepts: (text) => /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(text), reason: 'must be letters, digits and . _ -, at most 63' },
  'host-name': { accepts: (text) => text.length <= 253 && /^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$/.test(text), reason: 'must be a host name' },
  'optional-interface': { accepts: (text) => text === '' || CONFIG_FORMATS['interface-name'].accepts(text), reason: 'must be an interface name, or empty' },
  address: { accepts: (text) => isIP(text) !== 0 && !text.includes('%'), reason: 'must be an address' },
  'optional-address': { accepts: (text) => text === '' || isIP(text) !== 0, reason: 'must be an address, or empty' },
  bundle: { accepts: (text) => CONFIG_FORMATS['optional-path'].accepts(text) || isHttpUrl(text), reason: 'must be an absolute path, an http:// or https:// URL, or empty for none' },
  'bundle-checksum': {
    accepts: (text) => CONFIG_FORMATS.bundle.accepts(text) || /^[0-9A-Fa-f]{64}$/.test(text), reason: 'must be 64 hexadecimal digits, an absolute path, an http:// or https:// URL, or empty for none',
  },
  'etcd-endpoint': { accepts: (text) => parseEndpoint(text) !== undefined, reason: 'must be http://HOST:PORT, https://HOST:PORT or unix:/PATH' },
  'etcd-prefix': { accepts: (text) => text.length <= 512 && /^(?:\/[A-Za-z0-9._-]+)+$/.test(text), reason: 'must be segments of letters, digits and . _ -, each after a slash' },
};

/** "127.0.0.1:9476", "[::1]:9476" or "localhost:9476" in its two parts; undefined when it is none of them. */
export function parseListen(text: string): { readonly host: string; readonly port: number } | undefined {
  const parts = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text);
  const host = parts?.[1] ?? parts?.[2];
  const port = Number(parts?.[3]);
  return host === undefined || port > 65535 ? undefined : { host, port };
}

export type SyslogTarget = { readonly type: 'unix'; readonly path: string } | { readonly type: 'udp' | 'tcp' | 'tls'; readonly host: string; readonly port: number };

/** "unix:/dev/log", "udp:192.0.2.1:514", "tcp:[2001:db8::1]:601", "tls:log.example:6514"; undefined when it is none of them. */
export function parseSyslogTarget(text: string): SyslogTarget | undefined {
  if (/^unix:\/[^\0]{1,106}$/.test(text)) return { type: 'unix', path: text.slice('unix:'.length) };
  const type = (['udp', 'tcp', 'tls'] as const).find((name) => text.startsWith(`${name}:`));
  const address = type === undefined ? undefined : parseListen(text.slice(type.length + 1));
  return type === undefined || address === undefined || address.port === 0 ? undefined : { type, ...address };
}

function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}

function isNetwork(text: string): boolean {
  const [address = '', length, ...rest] = text.split('/');
  const family = isIP(address);
  return family !== 0 && rest.length === 0 && (length === undefined || (/^\d{1,3}$/.test(length) && Number(length) <= (family === 4 ? 32 : 128)));
}
