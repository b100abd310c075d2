import type { WorkloadReference } from '../../model/objects.js';
import { AgentError } from '../../model/errors.js';
import { resolveKind } from '../kinds.js';
import { changesText } from '../render/changes.js';
import { print } from '../render/structured.js';
import { defineVerb } from '../verb.js';

export const attach = defineVerb({
  command: 'attach <workload>',
  summary: 'bind a vNIC of a workload to an interface of this host: makes its filter',
  examples: [
    ['agentctl attach default/web --interface veth3f2a --address 10.98.0.2', 'eth0 of a pod'],
    ['agentctl attach default/web -i veth3f2a --address 10.98.0.2 --address fd00::2', 'one with two addresses'],
    ['agentctl attach vm/web-sv-01a --interface tap7 --vnic eth1 --mac 52:54:00:00:00:07', 'a NIC of a VM'],
  ],
  build: (parser) => parser
    .positional('workload', { type: 'string', demandOption: true, describe: 'namespace/pod, pod/NAMESPACE/NAME, vm/NAME or node/NAME' })
    .option('interface', { alias: 'i', type: 'string', demandOption: true, requiresArg: true, describe: 'interface of this host (OVS: the port)' })
    .option('vnic', { type: 'string', default: 'eth0', requiresArg: true, describe: 'name of the vNIC inside the workload' })
    .option('mac', { type: 'string', requiresArg: true, describe: 'its MAC address (SpoofGuard and layer 2 rules need it)' })
    .option('address', { type: 'string', array: true, requiresArg: true, describe: 'its IP addresses, where the workload object has none; may be repeated' }),
  async run(args, { agent, out, format }) {
    const workload = workloadOf(args.workload);
    const change = await (await agent()).attach({
      workload, vnic: args.vnic, interface: args.interface, addresses: args.address ?? [],
      ...(args.mac === undefined ? {} : { mac: args.mac }),
    });
    await print(out, format, change, () => changesText([change]));
  },
});

/** "namespace/pod", or a kind before the name; E_USAGE otherwise. */
export function workloadOf(text: string): WorkloadReference {
  const wrong = (): AgentError => new AgentError('E_USAGE', `a workload is namespace/pod, pod/NAMESPACE/NAME, vm/NAME or node/NAME, not ${JSON.stringify(text)}`);
  const [first = '', second = '', third, ...more] = text.split('/');
  if (first === '' || second === '' || third === '' || more.length > 0) throw wrong();
  if (third !== undefined) {
    if (resolveKind(first).kind !== 'Pod') throw wrong();
    return { kind: 'Pod', namespace: second, name: third };
  }
  switch (first.toLowerCase()) {
    case 'vm':
    case 'virtualmachine':
      return { kind: 'VirtualMachine', name: second };
    case 'node':
    case 'no':
      return { kind: 'Node', name: second };
    default:
      return { kind: 'Pod', namespace: first, name: second };
  }
}
