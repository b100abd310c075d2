import type { RemoteAgentApi } from '../../api/client.js';
import { dvfilterText, workloadName } from '../render/filters.js';
import { print } from '../render/structured.js';
import { defineVerb } from '../verb.js';

export const summarizeDvfilter = defineVerb({
  command: 'summarize-dvfilter',
  summary: 'list the filters of this host, nested as ESXi nests them',
  examples: [
    ['agentctl summarize-dvfilter', 'world, port, slot and filter of every vNIC'],
    ['agentctl summarize-dvfilter | grep -A 3 vmm0:web-sv-01a', 'find the filter of a VM'],
  ],
  build: (parser) => parser,
  async run(_args, { agent, out, format }) {
    const client = await agent();
    const filters = await client.getFilters();
    if (format !== 'text') return print(out, format, { filters }, () => '');
    const uuids = filters.some((filter) => filter.workload.kind === 'VirtualMachine') ? await machineUuids(client) : new Map<string, string>();
    await out.write(dvfilterText(filters, uuids));
  },
});

async function machineUuids(client: RemoteAgentApi): Promise<Map<string, string>> {
  const uuids = new Map<string, string>();
  for (const machine of await client.get('VirtualMachine')) {
    const uuid = member(member(machine.manifest, 'spec'), 'uuid');
    if (typeof uuid === 'string') uuids.set(workloadName({ kind: 'VirtualMachine', name: machine.name }), uuid);
  }
  return uuids;
}

function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}
