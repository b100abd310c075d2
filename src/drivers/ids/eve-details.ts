/** What a record of the engine says of the application behind an alert. Everything is the attacker's choice: bounded in length. */
import type { AlertDnsView, AlertHttpView, AlertTlsView, AlertView } from '../../model/views.js';
import type { EveRecord } from './eve-tail.js';

/** UTF-16 code units of one field; longer ones are cut and end in "…". */
export const LONGEST_FIELD = 512;

export type AlertDetails = Pick<AlertView, 'communityId' | 'appProtocol' | 'http' | 'tls' | 'dns'>;

/**
 * Fields of Suricata 7's EVE records (docs: "EVE JSON Format"): community_id, app_proto, http, tls, and dns in the forms of version 2
 * ({query: [{rrname}]}) and of single records ({rrname}). What is missing or of another type is left out.
 */
export function alertDetails(record: EveRecord): AlertDetails {
  const communityId = bounded(record['community_id']);
  const appProtocol = bounded(record['app_proto']);
  const http = httpOf(object(record['http']));
  const tls = tlsOf(object(record['tls']));
  const dns = dnsOf(object(record['dns']));
  return {
    ...(communityId === undefined ? {} : { communityId }),
    ...(appProtocol === undefined || appProtocol === 'failed' ? {} : { appProtocol }),
    ...(http === undefined ? {} : { http }),
    ...(tls === undefined ? {} : { tls }),
    ...(dns === undefined ? {} : { dns }),
  };
}

/** Cut to LONGEST_FIELD; undefined for what is no text. */
export function bounded(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined;
  if (value.length <= LONGEST_FIELD) return value;
  // Not in the middle of a surrogate pair: the text would be no UTF-8.
  const cut = value.slice(0, LONGEST_FIELD - 1);
  return `${/[\uD800-\uDBFF]$/.test(cut) ? cut.slice(0, -1) : cut}…`;
}

function httpOf(http: EveRecord | undefined): AlertHttpView | undefined {
  const status = http?.['status'];
  const more = typeof status === 'number' && Number.isInteger(status) && status >= 0 && status <= 999 ? { status } : {};
  return texts<AlertHttpView>(http, [['host', 'hostname'], ['url', 'url'], ['method', 'http_method'], ['userAgent', 'http_user_agent']], more);
}

function tlsOf(tls: EveRecord | undefined): AlertTlsView | undefined {
  return texts<AlertTlsView>(tls, [['sni', 'sni'], ['subject', 'subject'], ['version', 'version']], {});
}

function dnsOf(dns: EveRecord | undefined): AlertDnsView | undefined {
  const list: unknown = dns?.['query'] ?? dns?.['queries'];
  const first: unknown = Array.isArray(list) ? list[0] : list;
  return texts<AlertDnsView>(object(first) ?? dns, [['query', 'rrname'], ['type', 'rrtype']], {});
}

/** `more` and those of the named fields that are text; undefined when there is none at all. */
function texts<T extends object>(record: EveRecord | undefined, names: readonly (readonly [keyof T & string, string])[], more: Partial<T>): T | undefined {
  const found: Record<string, unknown> = { ...more };
  for (const [to, from] of names) {
    const value = bounded(record?.[from]);
    if (value !== undefined && value !== '') found[to] = value;
  }
  return isFilled<T>(found) ? found : undefined;
}

/** T's fields are all optional and made of texts and `more`: what holds one is a T. */
function isFilled<T extends object>(found: Record<string, unknown>): found is Record<string, unknown> & T {
  return Object.keys(found).length > 0;
}

function object(value: unknown): EveRecord | undefined {
  return isObject(value) ? value : undefined;
}

function isObject(value: unknown): value is EveRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
