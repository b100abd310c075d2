import type { TrafficControlView } from '../../model/views.js';
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
      { title: 'CAPPED', align: 'right', cell: (row) => String(row.capped) },
      { title: 'DROPPED', align: 'right', cell: (row) => String(row.dropped) },
      { title: 'ENGINE-DROPPED', align: 'right', cell: (row) => (row.engineDropped === undefined ? '-' : String(row.engineDropped)) },
      { title: 'COPIES', cell: copies },
      { title: 'STATE', cell: (row) => row.state },
      { title: 'WORKLOADS', cell: (row) => row.workloads.map((workload) => `${workload.namespace}/${workload.name}`).join(',') },
    ], trafficControls));
  },
});

/** Which packets are copied: "all", "1/10 <=500 packets/s; refused: egress". */
function copies({ action, sampling, rateLimit, refused }: TrafficControlView): string {
  if (action !== 'Mirror') return '-';
  const rates = [
    ...(rateLimit?.packetsPerSecond === undefined ? [] : [`<=${rateLimit.packetsPerSecond} packets/s`]), ...(rateLimit?.bytesPerSecond === undefined ? [] : [`<=${rateLimit.bytesPerSecond} bytes/s`]),
  ];
  const among = (['ingress', 'egress'] as const).filter((direction) => refused?.[direction] === 'copied');
  return `${[sampling === undefined ? 'all' : `1/${sampling}`, ...rates].join(' ')}; refused: ${among.length === 0 ? 'none' : among.join(',')}`;
}
