/** agentctl's way to etcd: the connection from a configuration file, the verbs on the objects there. */
import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import type { ManifestInput } from '../api/agent-api.js';
import type { ObjectName } from '../api/methods.js';
import type { Manager, ManagerChoice } from '../cli/manager.js';
import { AgentError, describeError } from '../model/errors.js';
import { DEFAULT_NAMESPACE, fieldsOf } from '../model/identity.js';
import { KINDS, exactName, kindsAskedFor, kindsNamed } from '../model/kinds.js';
import { nearest } from '../model/nearest.js';
import type { ChangeView, FaultView, ObjectView } from '../model/views.js';
import { systemClock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import { GrpcEtcd } from '../sources/etcd/client/grpc-etcd.js';
import { EtcdObjects, type NewObject, type StoredObject } from '../sources/etcd/etcd-objects.js';
import { DEFAULT_PREFIX, EtcdKeys } from '../sources/etcd/keys.js';
import { LocalStore } from '../sources/file/local-store.js';
import { findProblems } from './config-checks.js';
import type { EtcdSourceConfig } from './config-schema.js';
import { passwordOf } from './etcd-wiring.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };

/** @throws AgentError E_IO, E_CONFIG for the file. Connects with the first question. */
export async function openEtcdManager({ file, host }: ManagerChoice, signal: AbortSignal): Promise<Manager> {
  const { endpoints, prefix = DEFAULT_PREFIX, tls, user, passwordFile } = await etcdConfig(file);
  const client = new GrpcEtcd({
    endpoints, clock: systemClock, log: silent, ...(tls === undefined ? {} : { tls }), ...(user === undefined || passwordFile === undefined ? {} : { user: { name: user, password: () => passwordOf(passwordFile) } }),
  });
  return new EtcdManager(client, new EtcdObjects({ client, keys: new EtcdKeys(prefix, host ?? ''), ...(host === undefined ? {} : { host }) }), host === undefined ? 'etcd' : `etcd:hosts/${host}`, signal);
}

class EtcdManager implements Manager {
  readonly #decoder = new LocalStore('');

  constructor(private readonly client: GrpcEtcd, private readonly objects: EtcdObjects, private readonly source: string, private readonly signal: AbortSignal) {}

  close(): void {
    this.client.close();
  }

  async get(kind: string, namespace: string | undefined, name: string | undefined): Promise<{ objects: ObjectView[]; refused: FaultView[] }> {
    const { objects, refused } = await this.objects.list(kindsAskedFor(kind).map((info) => info.kind), this.signal);
    const found = objects.filter(({ object: { metadata } }) => (name === undefined || metadata.name === name) && (namespace === undefined || metadata.namespace === undefined || metadata.namespace === namespace));
    if (found.length === 0 && name !== undefined) {
      const near = nearest(name, objects.map(({ object }) => object.metadata.name));
      throw new AgentError('E_NOT_FOUND', `there is no ${kind} "${name}" in etcd`, { object: name, context: { nearest: near === undefined ? [] : [near] } });
    }
    return { objects: found.map((each) => this.view(each)), refused };
  }

  async diff(documents: readonly ManifestInput[]): Promise<ChangeView[]> {
    return this.objects.compare(this.decode(documents), this.signal);
  }

  async apply(documents: readonly ManifestInput[]): Promise<ChangeView[]> {
    return this.objects.apply(this.decode(documents), this.signal);
  }

  async delete(objects: readonly ObjectName[], dryRun: boolean): Promise<ChangeView[]> {
    const named = objects.map(({ kind, namespace, name }) => {
      const [info, other] = kindsNamed(kind);
      if (info === undefined) throw new AgentError('E_USAGE', `no such kind ${JSON.stringify(kind)}`);
      if (other !== undefined) throw new AgentError('E_USAGE', `${kind} is ambiguous; say ${KINDS.filter(({ written }) => written === info.written).map((each) => exactName(each)).join(' or ')}`);
      return { kind: info.kind, name, ...(info.namespaced ? { namespace: namespace ?? DEFAULT_NAMESPACE } : {}) };
    });
    return this.objects.delete(named, this.signal, dryRun);
  }

  private decode(documents: readonly ManifestInput[]): NewObject[] {
    return documents.flatMap((input): NewObject[] => ('document' in input
      ? [{ object: this.#decoder.validate(input.document), manifest: input.document }]
      : this.#decoder.validateRulesText(input.rulesText, input.name).map(({ object, manifest }) => ({ object, manifest }))));
  }

  private view({ object: { kind, metadata: { namespace, name } }, manifest }: StoredObject): ObjectView {
    return { kind, ...(namespace === undefined ? {} : { namespace }), name, source: this.source, manifest };
  }
}

/** The etcd source of an agent.yaml, or a file that is nothing but one; checked as the daemon checks it. */
async function etcdConfig(file: string): Promise<EtcdSourceConfig> {
  let value: unknown;
  try {
    value = parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw new AgentError('E_CONFIG', `cannot be read: ${describeError(error)}`, { object: file, cause: error });
  }
  const fields = fieldsOf(value) ?? {};
  const listed: readonly unknown[] = Array.isArray(fields['sources']) ? fields['sources'] : [];
  const source = 'endpoints' in fields ? { type: 'etcd', ...fields } : listed.find((each) => fieldsOf(each)?.['type'] === 'etcd');
  if (source === undefined) throw new AgentError('E_CONFIG', 'names no etcd: it has neither endpoints nor a source of type etcd', { object: file });
  const { config, problems: [problem] } = findProblems({ node: 'agentctl', sources: [source] });
  const found = config?.sources[0];
  if (found?.type !== 'etcd') throw new AgentError('E_CONFIG', problem?.reason ?? 'refused', { object: file, path: problem?.path.replace(/^sources\[0\]\.?/, '') ?? '' });
  return found;
}
