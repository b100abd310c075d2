/** One parsed document of any kind → a validated object. The kinds of this version are the entries of the table below. */
import type { DesiredObject } from '../../model/objects.js';
import type { ErrorCode } from '../../model/errors.js';
import { AgentError } from '../../model/errors.js';
import { nearest } from '../../model/nearest.js';
import { quote } from '../../model/quote.js';
import { decodeAddressSet, decodeRuleTable } from './decode-rules.js';
import { decodeAttachment, decodeNamespace, decodeNode, decodePod, decodeTrafficControl, decodeVirtualMachine } from './decode-workloads.js';
import { describe, schemaProblems, type Problem } from './schema-errors.js';
import { compileSchemas, type Check } from './schemas.js';

export const OWN_API_VERSION = 'dfw.dev/v1';

export interface DecodeProblem extends Problem {
  readonly code: ErrorCode;
}
export type Decoded = { readonly object: DesiredObject } | { readonly problems: readonly DecodeProblem[] };

/** What a document says it is, as far as it can be read; used to find its earlier version when it is refused. */
export interface Identity { readonly kind: string; readonly namespace?: string; readonly name: string }

/** Kinds of the contract that later versions bring, by API group. */
const LATER: Readonly<Record<string, readonly string[]>> = {
  '': ['Service'],
  'discovery.k8s.io': ['EndpointSlice'],
  'networking.k8s.io': ['NetworkPolicy', 'Ingress'],
  'gateway.networking.k8s.io': ['Gateway'],
  'policy.networking.k8s.io': ['ClusterNetworkPolicy', 'AdminNetworkPolicy', 'BaselineAdminNetworkPolicy'],
  'crd.antrea.io': ['Tier', 'ClusterNetworkPolicy', 'NetworkPolicy', 'ClusterGroup', 'Group', 'ExternalEntity', 'IDPSPolicy', 'Egress', 'ExternalIPPool'],
  'security.antrea.tanzu.vmware.com': ['Tier', 'ClusterNetworkPolicy', 'NetworkPolicy'],
  'dfw.dev': ['SecurityPolicy', 'Group'],
};

const MAX_PROBLEMS = 5;

interface Kind { readonly apiVersion: string; readonly kind: string; decode(document: unknown): Decoded }

export class Decoder {
  readonly #kinds: readonly Kind[];

  constructor() {
    const schemas = compileSchemas();
    const kind = <T>(apiVersion: string, name: string, check: Check<T>, decode: (manifest: T) => DesiredObject): Kind => ({
      apiVersion, kind: name,
      decode: (document) => {
        if (check(document)) return { object: decode(document) };
        return { problems: schemaProblems(check.errors ?? [], MAX_PROBLEMS).map((problem) => ({ code: 'E_INVALID' as const, ...problem })) };
      },
    });
    this.#kinds = [
      kind(OWN_API_VERSION, 'RuleTable', schemas.ruleTable, decodeRuleTable),
      kind(OWN_API_VERSION, 'AddressSet', schemas.addressSet, decodeAddressSet),
      kind(OWN_API_VERSION, 'VirtualMachine', schemas.virtualMachine, decodeVirtualMachine),
      kind(OWN_API_VERSION, 'Attachment', schemas.attachment, decodeAttachment),
      kind('v1', 'Pod', schemas.pod, decodePod),
      kind('v1', 'Namespace', schemas.namespace, decodeNamespace),
      kind('v1', 'Node', schemas.node, decodeNode),
      kind('crd.antrea.io/v1alpha2', 'TrafficControl', schemas.trafficControl, decodeTrafficControl),
    ];
  }

  /** Never throws for a bad document. `apiVersion` may be left out for our own kinds. */
  decode(document: unknown): Decoded {
    try {
      return this.#find(document).decode(document);
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      return { problems: [{ code: error.code, path: error.path ?? '', message: error.message }] };
    }
  }

  #find(document: unknown): Kind {
    const fields = fieldsOf(document);
    if (fields === undefined) {
      throw new AgentError('E_INVALID', `a manifest is a mapping with apiVersion, kind and metadata; this is ${describe(document)}`);
    }
    const { kind, apiVersion } = fields;
    if (kind === undefined) throw new AgentError('E_INVALID', 'the field kind is missing');
    if (typeof kind !== 'string') throw new AgentError('E_INVALID', `must be a string, is ${describe(kind)}`, { path: 'kind' });
    if (apiVersion !== undefined && typeof apiVersion !== 'string') {
      throw new AgentError('E_INVALID', `must be a string, is ${describe(apiVersion)}`, { path: 'apiVersion' });
    }
    const found = this.#kinds.find((known) => known.kind === kind && known.apiVersion === (apiVersion ?? OWN_API_VERSION));
    if (found !== undefined) return found;
    throw this.#unknown(kind, apiVersion);
  }

  #unknown(kind: string, apiVersion: string | undefined): AgentError {
    const elsewhere = this.#kinds.find((known) => known.kind === kind);
    const later = Object.entries(LATER).find(([group, kinds]) => kinds.includes(kind) && (apiVersion === undefined || groupOf(apiVersion) === group));
    if (later !== undefined) {
      return new AgentError(
        'E_INVALID', `kind ${kind}${later[0] === '' ? '' : ` of ${later[0]}`} is not supported by this version yet`, { path: 'kind' },
      );
    }
    if (elsewhere !== undefined) {
      const message = apiVersion === undefined ? `the field apiVersion is missing; ${kind} is ${elsewhere.apiVersion}` : `kind ${kind} is ${elsewhere.apiVersion}, not ${quote(apiVersion)}`;
      return new AgentError('E_INVALID', message, { path: 'apiVersion' });
    }
    const known = this.#kinds.map((entry) => entry.kind);
    const near = nearest(kind, known);
    const group = apiVersion === undefined ? '' : ` in group ${groupOf(apiVersion) === '' ? 'core' : quote(groupOf(apiVersion))}`;
    return new AgentError(
      'E_INVALID',
      `unknown kind ${quote(kind)}${group}${near === undefined ? '' : `; did you mean ${near}?`}; this version knows ${known.join(', ')}`,
      { path: 'kind' },
    );
  }
}

/** Kind, namespace and name where they are readable. Pods have the namespace that an accepted one would have. */
export function identityOf(document: unknown): Identity | undefined {
  const { kind, metadata } = fieldsOf(document) ?? {};
  const { name, namespace } = fieldsOf(metadata) ?? {};
  if (typeof kind !== 'string' || typeof name !== 'string') return undefined;
  if (kind !== 'Pod') return { kind, name };
  return { kind, name, namespace: typeof namespace === 'string' ? namespace : 'default' };
}

export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return isMapping(value) ? value : undefined;
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `crd.antrea.io/v1alpha2` → `crd.antrea.io`; `v1` → ``. */
function groupOf(apiVersion: string): string {
  const slash = apiVersion.lastIndexOf('/');
  return slash < 0 ? '' : apiVersion.slice(0, slash);
}
