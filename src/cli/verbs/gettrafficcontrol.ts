import { print } from '../render/structured.js';
import { table } from '../render/table.js';
import { defineVerb } from '../verb.js';

export const gettrafficcontrol = defineVerb({
  command: 'gettrafficcontrol',
  summary: 'list mirrors and redirects with their workloads and counters',
  examples: [['agentctl gettrafficcontrol', 'what is mirrored where, and what was lost']],
  build: (parser) => parser,
  async run(_args, { agent, out, format }) {
    const trafficControls = await (await agent()).getTrafficControl();
    await print(out, format, { trafficControls }, () => table([
      { title: 'NAME', cell: (row) => row.name },
      { title: 'ACTION', cell: (row) => row.action },
      { title: 'DIRECTION', cell: (row) => row.direction },
      { title: 'DEVICE', cell: (row) => row.device },
      { title: 'PACKETS', align: 'right', cell: (row) => String(row.packets) },
      { title: 'BYTES', align: 'right', cell: (row) => String(row.bytes) },
      { title: 'DROPPED', align: 'right', cell: (row) => String(row.dropped) },
      { title: 'STATE', cell: (row) => row.state },
      { title: 'WORKLOADS', cell: (row) => row.workloads.map((workload) => `${workload.namespace}/${workload.name}`).join(',') },
    ], trafficControls));
  },
});
