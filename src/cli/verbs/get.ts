import { AgentError } from '../../model/errors.js';
import type { ObjectView } from '../../model/views.js';
import { resolveKind } from '../kinds.js';
import { etcdOption, hostOption } from '../manager.js';
import { namespaceOption } from '../options.js';
import { policiesText, withStatus } from '../render/policies.js';
import { faultLine } from '../render/status.js';
import { print } from '../render/structured.js';
import { table } from '../render/table.js';
import { defineVerb } from '../verb.js';

export const get = defineVerb({
  command: 'get <kind> [name]',
  summary: 'print desired objects as the sources hold them, policies with their status',
  examples: [
    ['agentctl get pods -n default', 'pods of a namespace'],
    ['agentctl get rt domain-c25 -o yaml', 'one rule table as a manifest that applies again'],
    ['agentctl get networkpolicy', 'policies of every kind: what they apply to, whether they are in force, why not, hits'],
    ['agentctl get netpol web -n shop -o yaml', 'one, with the ids and counters of its rules under status'],
    ['agentctl get rt domain-c25 --etcd etcd.yaml -o yaml', 'as it stands in etcd, with the revision that apply then asks for'],
    ['agentctl get acnp', "Antrea's ClusterNetworkPolicies alone; annp, anp, banp, cnp and sp likewise"],
  ],
  build: (parser) => parser
    .positional('kind', { type: 'string', demandOption: true, describe: 'kind of object: pod, vm, netpol, acnp, ruletable, ...' })
    .positional('name', { type: 'string', describe: 'one object of that name' })
    .option('namespace', namespaceOption)
    .option('etcd', etcdOption)
    .option('host', hostOption),
  async run({ kind, name, namespace, etcd, host }, { agent, manager, out, format }) {
    const resolved = resolveKind(kind);
    // K8sNetworkPolicy:shop/web, as policies are listed, says the namespace itself.
    const scope = namespace ?? (name !== undefined && resolved.namespaced && !name.includes(':') ? 'default' : undefined);
    const store = await manager(etcd, host);
    const { objects, refused } = store === undefined ? { objects: await (await agent()).get(resolved.kind, scope, name), refused: [] } : await store.get(resolved.kind, scope, name);
    for (const fault of refused) out.message(`agentctl: ${faultLine(fault)}`);
    // A name that API groups share may be that of several objects.
    if (name === undefined || objects.length > 1) {
      const list = { apiVersion: 'v1', kind: 'List', items: objects.map(withStatus) };
      return print(out, format, list, () => objectsText(objects));
    }
    const [object] = objects;
    if (object === undefined) throw new AgentError('E_NOT_FOUND', 'no such object', { object: [resolved.kind, scope, name].filter((part) => part !== undefined).join('/') });
    await print(out, format, withStatus(object), () => objectsText([object]));
  },
});

function objectsText(objects: readonly ObjectView[]): string {
  const policies = objects.flatMap((object) => (object.status === undefined ? [] : [{ ...object, status: object.status }]));
  if (policies.length > 0 && policies.length === objects.length) return policiesText(policies);
  const namespaced = objects.some((object) => object.namespace !== undefined);
  return table([
    ...(namespaced ? [{ title: 'NAMESPACE', cell: (object: ObjectView): string => object.namespace ?? '' }] : []),
    { title: 'NAME', cell: (object) => object.name },
    { title: 'KIND', cell: (object) => object.kind },
    { title: 'SOURCE', cell: (object) => object.source },
  ], objects);
}
