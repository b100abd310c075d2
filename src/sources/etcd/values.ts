/** The value at a key → what it means, or why it means nothing. */
import { AgentError, isAgentError } from '../../model/errors.js';
import type { DesiredObject } from '../../model/objects.js';
import { objectKey } from '../../model/objects.js';
import type { FileParser } from '../file/file-parser.js';
import { Decoder } from '../manifests/decode.js';
import type { ObjectPlace, WorkloadPlace } from './keys.js';
import { RuleTableCodec } from './ruletable/codec.js';

/** A whole object, or what one key contributes to an address set. */
export type Good =
  | { readonly form: 'object'; readonly object: DesiredObject; readonly manifest: unknown }
  | { readonly form: 'set'; readonly labels: Readonly<Record<string, string>>; readonly addresses: readonly string[]; /** Which parts the set has; absent: all that are there. */ readonly parts?: readonly string[] };
export interface Refusal { readonly path: string; readonly message: string }
export type Verdict = { readonly good: Good } | { readonly refused: Refusal };

/** What agents may publish of their hosts: nothing that decides about others' traffic. */
const PUBLISHED: ReadonlySet<string> = new Set(['VirtualMachine', 'Pod', 'Node']);

export class ValueReader {
  readonly #codec = new RuleTableCodec();
  #decoder: Decoder | undefined;

  /** `parser` reads YAML and JSON; large texts elsewhere than in this thread. */
  constructor(private readonly parser: FileParser) {}

  /** Never rejects for a bad value; E_CANCELLED when the parser was closed. */
  async read(place: ObjectPlace | WorkloadPlace, value: Uint8Array): Promise<Verdict> {
    try {
      return { good: await this.#good(place, value) };
    } catch (error) {
      if (!isAgentError(error) || error.code === 'E_CANCELLED') throw error;
      return { refused: { path: error.path ?? '', message: error.message } };
    }
  }

  async #good(place: ObjectPlace | WorkloadPlace, value: Uint8Array): Promise<Good> {
    switch (place.form) {
      case 'manifest':
        return this.#manifest(place.object, value);
      case 'workload': {
        const good = await this.#manifest(place.object, value);
        if (!PUBLISHED.has(good.object.kind)) throw new AgentError('E_INVALID', `a host publishes workloads (${[...PUBLISHED].join(', ')}), no ${good.object.kind}`, { path: 'kind' });
        if (good.object.kind === 'Node' && good.object.metadata.name !== place.node) throw new AgentError('E_INVALID', `a host publishes itself, ${place.node}, and no other node`, { path: 'metadata.name' });
        return good;
      }
      case 'ruletable': {
        const manifest = this.#codec.readTable(value, place.name);
        return { form: 'object', object: this.#decode(manifest), manifest };
      }
      case 'addressset': {
        const { labels, hosts, others, parts } = this.#codec.readSet(value, place.name);
        const checked = this.#decode({ kind: 'AddressSet', metadata: { name: place.name, labels }, spec: { addresses: others } });
        if (checked.kind !== 'AddressSet') throw new AgentError('E_INTERNAL', 'an address set became something else');
        return { form: 'set', labels, addresses: others.length === 0 ? hosts : [...hosts, ...checked.addresses], ...(parts === undefined ? {} : { parts }) };
      }
    }
  }

  async #manifest(expected: string, value: Uint8Array): Promise<Extract<Good, { form: 'object' }>> {
    const { documents } = await this.parser.parse('value.yaml', value);
    const [document, ...more] = documents;
    if (document === undefined) throw new AgentError('E_INVALID', 'holds no manifest');
    if (more.length > 0) throw new AgentError('E_INVALID', `holds ${documents.length} documents: a key holds one object`);
    const [problem] = document.problems;
    if (problem !== undefined) throw new AgentError(problem.code, problem.message, { path: problem.path });
    const [entry] = document.objects;
    if (entry === undefined) throw new AgentError('E_INVALID', 'holds no object');
    const said = objectKey(entry.object);
    if (said !== expected) throw new AgentError('E_INVALID', `is ${said}, its key says ${expected}`, { path: 'metadata.name' });
    return { form: 'object', object: entry.object, manifest: entry.manifest };
  }

  #decode(manifest: unknown): DesiredObject {
    this.#decoder ??= new Decoder();
    const decoded = this.#decoder.decode(manifest);
    if ('object' in decoded) return decoded.object;
    const [problem] = decoded.problems;
    throw new AgentError(problem?.code ?? 'E_INVALID', problem?.message ?? 'refused', { path: problem?.path ?? '' });
  }
}
