import type { ManifestInput } from '../../api/agent-api.js';
import type { ObjectName } from '../../api/methods.js';
import { AgentError } from '../../model/errors.js';
import { identityOf } from '../../model/identity.js';
import { KINDS, exactName } from '../../model/kinds.js';
import { parseRulesText } from '../../model/rules-text.js';
import { resolveKind } from '../kinds.js';
import { etcdOption, hostOption } from '../manager.js';
import { readManifests } from '../manifests.js';
import { filesOption, namespaceOption } from '../options.js';
import { changesText } from '../render/changes.js';
import { print } from '../render/structured.js';
import { defineVerb } from '../verb.js';

export const deleteVerb = defineVerb({
  command: 'delete [kind] [name]',
  summary: 'remove objects that were made with apply or attach, or with --etcd objects of all hosts',
  examples: [
    ['agentctl delete -f policy.yaml', 'every object that the file names'],
    ['agentctl delete -f policies/ -f groups.yaml', 'several files and directories, as one change'],
    ['agentctl delete pod web -n shop', 'one object'],
    ['agentctl delete securitypolicy db-access --etcd /etc/dfw-agent/agent.yaml', 'in etcd, for every host'],
  ],
  build: (parser) => parser
    .positional('kind', { type: 'string', describe: 'kind of object: pod, vm, ruletable, ...' })
    .positional('name', { type: 'string', describe: 'its name' })
    .option('file', filesOption)
    .option('namespace', namespaceOption)
    .option('etcd', etcdOption)
    .option('host', hostOption),
  async run({ kind, name, namespace, file, etcd, host }, { agent, manager, out, format, stdin }) {
    const objects = await named(kind, name, namespace, file, stdin);
    const store = await manager(etcd, host);
    const changes = store === undefined ? await (await agent()).deleteObjects(objects) : await store.delete(objects, false);
    await print(out, format, { changes }, () => changesText(changes));
  },
});

async function named(
  kind: string | undefined, name: string | undefined, namespace: string | undefined, files: string[] | undefined, stdin: AsyncIterable<Uint8Array>,
): Promise<ObjectName[]> {
  if (files !== undefined && kind === undefined) return (await readManifests(files, stdin)).flatMap(objectsOf);
  if (files !== undefined || kind === undefined || name === undefined) {
    throw new AgentError('E_USAGE', 'delete takes either -f FILE or KIND NAME');
  }
  const resolved = resolveKind(kind);
  return [{ kind: resolved.kind, name, ...(resolved.namespaced ? { namespace: namespace ?? 'default' } : {}) }];
}

export function objectsOf(input: ManifestInput): ObjectName[] {
  if ('rulesText' in input) {
    const { tables, addressSets, problems } = parseRulesText(input.rulesText);
    const [problem] = problems;
    if (problem !== undefined) throw new AgentError('E_PARSE', problem.message, { object: input.name, path: `line ${problem.line}` });
    // As the agent reads it: the sets belong to the tables; a text of sets alone makes AddressSets.
    if (tables.length > 0) return tables.map((table) => ({ kind: 'RuleTable', name: table.name }));
    return addressSets.map((set) => ({ kind: 'AddressSet', name: set.name }));
  }
  const { document } = input;
  const identity = identityOf(document);
  if (identity === undefined) throw new AgentError('E_INVALID', 'a document without kind and metadata.name cannot be deleted');
  const info = KINDS.find((entry) => entry.kind === identity.kind);
  return [info === undefined ? identity : { ...identity, kind: exactName(info) }];
}
