/**
 * What stands where under the prefix (docs/etcd.md). `all` is what every host reads, `host` what one host reads:
 *
 *   <prefix>/objects/<Kind>/[<namespace>/]<name>   a manifest, YAML or JSON     also under <prefix>/hosts/<node>/
 *   <prefix>/ruletables/<name>                     RuleTable, protobuf          also under <prefix>/hosts/<node>/
 *   <prefix>/addresssets/<name>[@<part>]           AddressSet, protobuf         also under <prefix>/hosts/<node>/
 *   <prefix>/workloads/<node>/<Kind>/[<namespace>/]<name>   published by the agent of that node, under its lease
 *   <prefix>/workloads/<node>/.agent               who that agent is
 *   <prefix>/egress/...                            who has which address of Egresses (lease-records.ts); no desired state
 */
import { KINDS } from '../../model/kinds.js';
import { objectKey } from '../../model/objects.js';
import { keysUnder, type KeyRange } from './client/etcd.js';

export type Scope = 'all' | 'host';
export interface ManifestPlace { readonly form: 'manifest'; readonly scope: Scope; readonly object: string }
export interface TablePlace { readonly form: 'ruletable'; readonly scope: Scope; readonly name: string; readonly object: string }
/** `part`: absent of the set itself. */
export interface SetPlace { readonly form: 'addressset'; readonly scope: Scope; readonly name: string; readonly part?: string; readonly object: string }
export interface WorkloadPlace { readonly form: 'workload'; readonly node: string; readonly object: string }
export interface AgentPlace { readonly form: 'agent'; readonly node: string }
export type Place = ManifestPlace | TablePlace | SetPlace | WorkloadPlace | AgentPlace;
export type ObjectPlace = ManifestPlace | TablePlace | SetPlace;

export const DEFAULT_PREFIX = '/dfw/v1';
const AGENT = '.agent';
/** Of objects, in etcd: of one segment, or two where the kind has namespaces. Rule tables and address sets may have slashes in their names. */
const SLASHED: ReadonlySet<string> = new Set(['RuleTable', 'AddressSet']);

export interface ObjectName { readonly kind: string; readonly namespace?: string; readonly name: string }

export class EtcdKeys {
  readonly #prefix: string;

  /** `prefix` without a slash at its end. */
  constructor(prefix: string, readonly node: string) {
    this.#prefix = prefix.replace(/\/+$/, '');
  }

  get prefix(): string {
    return this.#prefix;
  }

  /** What this host reads. No others: hosts may have the right to no more. */
  ranges(): readonly KeyRange[] {
    return [...['objects', 'ruletables', 'addresssets'].map((folder) => `${this.#prefix}/${folder}/`), `${this.#prefix}/hosts/${this.node}/`, `${this.#prefix}/workloads/`].map(keysUnder);
  }

  /** `node`: of one host; absent: of all. */
  manifest({ kind, namespace, name }: ObjectName, node?: string): string {
    return `${this.#base(node)}/objects/${kind}/${namespace === undefined ? '' : `${namespace}/`}${name}`;
  }

  table(name: string, node?: string): string {
    return `${this.#base(node)}/ruletables/${name}`;
  }

  set(name: string, node?: string): string {
    return `${this.#base(node)}/addresssets/${name}`;
  }

  setPart(name: string, part: string, node?: string): string {
    return `${this.set(name, node)}@${part}`;
  }

  /** The parts of a set, without the set itself. */
  setParts(name: string, node?: string): KeyRange {
    return keysUnder(`${this.set(name, node)}@`);
  }

  /** All that this node publishes. */
  published(): KeyRange {
    return keysUnder(`${this.#prefix}/workloads/${this.node}/`);
  }

  workload({ kind, namespace, name }: ObjectName): string {
    return `${this.#prefix}/workloads/${this.node}/${kind}/${namespace === undefined ? '' : `${namespace}/`}${name}`;
  }

  /** Folder of the leases of Egresses. */
  leases(): string {
    return `${this.#prefix}/egress/`;
  }

  agent(): string {
    return `${this.#prefix}/workloads/${this.node}/${AGENT}`;
  }

  /** Objects of all hosts, or of one, for those who manage them. */
  managed(node?: string): readonly KeyRange[] {
    return ['objects', 'ruletables', 'addresssets'].map((folder) => keysUnder(`${this.#base(node)}/${folder}/`));
  }

  /** What a key of ours is; or why it is none. `node`: whose `hosts/` keys are taken, this node's if absent. */
  parse(key: string, node: string = this.node): Place | { readonly form: 'none'; readonly reason: string } {
    if (!key.startsWith(`${this.#prefix}/`)) return none('is outside the prefix');
    if (!/^[\x20-\x7e]*$/.test(key)) return none('holds bytes that are no printable ASCII');
    const [folder = '', ...rest] = key.slice(this.#prefix.length + 1).split('/');
    if (folder === 'hosts') {
      const [host, inner = '', ...more] = rest;
      return host === node ? this.#objectPlace('host', inner, more) : none('is another host\'s');
    }
    if (folder === 'workloads') return workloadPlace(rest);
    return this.#objectPlace('all', folder, rest);
  }

  #objectPlace(scope: Scope, folder: string, segments: readonly string[]): Place | { readonly form: 'none'; readonly reason: string } {
    const name = segments.join('/');
    switch (folder) {
      case 'objects': {
        const object = objectOf(segments);
        return typeof object === 'string' ? { form: 'manifest', scope, object } : none(object.reason);
      }
      case 'ruletables':
        return name === '' ? none('names no table') : { form: 'ruletable', scope, name, object: objectKey({ kind: 'RuleTable', metadata: { name } }) };
      case 'addresssets': {
        const at = name.indexOf('@');
        const set = at < 0 ? name : name.slice(0, at);
        if (set === '') return none('names no address set');
        return { form: 'addressset', scope, name: set, ...(at < 0 ? {} : { part: name.slice(at + 1) }), object: objectKey({ kind: 'AddressSet', metadata: { name: set } }) };
      }
      default:
        return none('is in no folder of ours; they are objects, ruletables, addresssets, hosts and workloads');
    }
  }

  #base(node: string | undefined): string {
    return node === undefined ? this.#prefix : `${this.#prefix}/hosts/${node}`;
  }
}

function workloadPlace([node = '', ...segments]: readonly string[]): Place | { readonly form: 'none'; readonly reason: string } {
  if (segments.length === 1 && segments[0] === AGENT) return { form: 'agent', node };
  const object = objectOf(segments);
  return typeof object === 'string' ? { form: 'workload', node, object } : none(object.reason);
}

/** <Kind>/[<namespace>/]<name> → objectKey(). */
function objectOf([kind = '', ...names]: readonly string[]): string | { readonly reason: string } {
  const info = KINDS.find((entry) => entry.kind === kind);
  if (info === undefined) return { reason: `names no kind: ${JSON.stringify(kind)} is none` };
  const [namespace = '', ...rest] = names;
  const name = (info.namespaced ? rest : names).join('/');
  if (name === '' || (info.namespaced && namespace === '')) return { reason: `is not ${info.namespaced ? 'Kind/namespace/name' : 'Kind/name'}` };
  if (name.includes('/') && !SLASHED.has(kind)) return { reason: `is not ${info.namespaced ? 'Kind/namespace/name' : 'Kind/name'}` };
  return objectKey({ kind, metadata: { name, ...(info.namespaced ? { namespace } : {}) } });
}

function none(reason: string): { readonly form: 'none'; readonly reason: string } {
  return { form: 'none', reason };
}
