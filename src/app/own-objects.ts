/** Objects that users gave the agent itself (`apply`, `delete`, `attach`, `detach`): kept in the state directory, read back as a source. */
import type { AttachRequest, ManifestInput } from '../api/agent-api.js';
import { AgentError } from '../model/errors.js';
import { DEFAULT_NAMESPACE } from '../model/identity.js';
import { KINDS, exactName, kindMatcher } from '../model/kinds.js';
import { nearest } from '../model/nearest.js';
import { objectKey, type DesiredObject } from '../model/objects.js';
import { POLICY_KINDS } from '../model/policy-objects.js';
import type { ChangeView } from '../model/views.js';
import type { LocalStore } from '../sources/file/local-store.js';
import { mergeSources, type NamedSource } from './desired.js';

export interface OwnObjectsOptions {
  readonly store: LocalStore;
  /** Reads what the store holds; its name as NamedSource is OWN_SOURCE. */
  readonly reread: () => Promise<void>;
  readonly sources: readonly NamedSource[];
  /** Before it is not known to whom objects belong. */
  readonly sourcesRead: Promise<void>;
}

export const OWN_SOURCE = 'agent';

/** What putting `manifest` in the place of `known` is called; no `known` = there is none. */
export function changeOf(object: string, known: unknown, manifest: unknown): ChangeView {
  if (known === undefined) return { object, operation: 'created' };
  return { object, operation: JSON.stringify(known) === JSON.stringify(manifest) ? 'unchanged' : 'configured' };
}

/** `get` shows policies with what became of them: nobody's desire. */
function withoutStatus(manifest: unknown): unknown {
  if (typeof manifest !== 'object' || manifest === null || !('status' in manifest)) return manifest;
  const { status: _, ...rest } = manifest;
  return rest;
}

export class OwnObjects {
  constructor(private readonly options: OwnObjectsOptions) {}

  /** All or nothing: every document is validated, and its owner checked, before the first is stored. */
  async apply(documents: readonly ManifestInput[], dryRun: boolean): Promise<ChangeView[]> {
    const manifests = documents.flatMap((input) => this.decode(input));
    await this.options.sourcesRead;
    const desired = mergeSources(this.options.sources);
    const changes: ChangeView[] = [];
    for (const { object, manifest } of manifests) {
      const key = objectKey(object);
      const owner = desired.manifests.get(key);
      if (owner !== undefined && owner.source !== OWN_SOURCE) {
        throw new AgentError('E_CONFLICT', `belongs to source ${owner.source}: change it there`, { object: key });
      }
      changes.push(changeOf(key, owner?.manifest, manifest));
    }
    if (dryRun) return changes;
    for (const { manifest } of manifests) await this.options.store.put(manifest);
    await this.options.reread();
    return changes;
  }

  async remove(objects: readonly { kind: string; namespace?: string; name: string }[]): Promise<ChangeView[]> {
    await this.options.sourcesRead;
    const desired = mergeSources(this.options.sources);
    const found = objects.map((wanted) => this.find(wanted, desired.objects));
    for (const object of found) {
      const key = objectKey(object);
      const owner = desired.manifests.get(key);
      if (owner?.source !== OWN_SOURCE) {
        throw new AgentError('E_CONFLICT', `belongs to source ${owner?.source ?? 'unknown'}: remove it there`, { object: key });
      }
    }
    for (const object of found) await this.options.store.remove(object.kind, object.metadata.namespace, object.metadata.name);
    await this.options.reread();
    return found.map((object) => ({ object: objectKey(object), operation: 'deleted' }));
  }

  async attach(request: AttachRequest): Promise<ChangeView> {
    const { workload, vnic } = request;
    const parts = workload.kind === 'Pod' ? [workload.namespace ?? 'default', workload.name, vnic] : [workload.name, vnic];
    const manifest = {
      apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name: parts.join('-').toLowerCase() },
      spec: {
        workload, vnic, interface: request.interface,
        ...(request.mac === undefined || request.mac === '' ? {} : { mac: request.mac }),
        ...(request.addresses.length === 0 ? {} : { addresses: request.addresses }),
      },
    };
    const [change] = await this.apply([{ document: manifest }], false);
    if (change === undefined) throw new AgentError('E_INTERNAL', 'attach changed nothing', { object: request.interface });
    return change;
  }

  /** The objects that a document means, each with a manifest. @throws AgentError E_INVALID, E_LIMIT or E_PARSE with object and path. */
  decode(input: ManifestInput): { object: DesiredObject; manifest: unknown }[] {
    const { store } = this.options;
    if ('document' in input) {
      const object = store.validate(input.document);
      return [{ object, manifest: Object.hasOwn(POLICY_KINDS, object.kind) ? withoutStatus(input.document) : input.document }];
    }
    return store.validateRulesText(input.rulesText, input.name).map(({ object, manifest }) => ({ object, manifest }));
  }

  private find(wanted: { kind: string; namespace?: string; name: string }, objects: ReadonlyMap<string, DesiredObject>): DesiredObject {
    const isWanted = kindMatcher(wanted.kind);
    const ofKind = [...objects.values()].filter((object) => isWanted(object.kind));
    const [found, another] = ofKind.filter((object) => object.metadata.name === wanted.name
      && (object.metadata.namespace === undefined || object.metadata.namespace === (wanted.namespace ?? DEFAULT_NAMESPACE)));
    if (found !== undefined && another !== undefined) {
      const exact = KINDS.filter(({ kind }) => kind === found.kind || kind === another.kind).map((info) => exactName(info));
      throw new AgentError('E_USAGE', `${wanted.kind} "${wanted.name}" is ambiguous; say ${exact.join(' or ')}`, { object: wanted.name });
    }
    if (found !== undefined) return found;
    const near = nearest(wanted.name, ofKind.map((object) => object.metadata.name));
    throw new AgentError('E_NOT_FOUND', `there is no ${wanted.kind} "${wanted.name}"`, { object: wanted.name, context: { nearest: near === undefined ? [] : [near] } });
  }
}
