import { print } from '../render/structured.js';
import { table } from '../render/table.js';
import { defineVerb } from '../verb.js';

export const getegress = defineVerb({
  command: 'getegress',
  summary: 'list Egresses: their address, the node that has it, and the workloads that leave with it',
  examples: [
    ['agentctl getegress', 'all of the cluster, as this agent sees them'],
    ['agentctl get egress fruits-app-egress -o yaml', 'one, as a manifest with its status'],
  ],
  build: (parser) => parser,
  async run(_args, { agent, out, format }) {
    const state = await (await agent()).getEgress();
    await print(out, format, state, () => table([
      { title: 'NAME', cell: (row) => row.name },
      { title: 'ADDRESS', cell: (row) => row.address },
      { title: 'POOL', cell: (row) => row.pool },
      { title: 'NODE', cell: (row) => row.node },
      { title: 'STATE', cell: (row) => row.state },
      { title: 'WORKLOADS', cell: (row) => row.workloads.map(({ namespace, name }) => `${namespace}/${name}`).join(',') },
    ], state.egresses) + (state.pools.length === 0 ? '' : `\n${table([
      { title: 'POOL', cell: (row) => row.name },
      { title: 'TOTAL', align: 'right', cell: (row) => String(row.total) },
      { title: 'USED', align: 'right', cell: (row) => String(row.used) },
    ], state.pools)}`));
  },
});
