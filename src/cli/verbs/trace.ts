import type { TraceRequest } from '../../model/views.js';
import { integer } from '../options.js';
import { print } from '../render/structured.js';
import { traceText } from '../render/trace.js';
import { defineVerb } from '../verb.js';

export const trace = defineVerb({
  command: 'trace',
  summary: 'say which rule decides about a packet, at which filter, in both directions',
  examples: [
    ['agentctl trace --from default/web --to default/db --proto tcp --dport 3306', 'may web reach the database?'],
    ['agentctl trace --from 192.0.2.7 --to web-sv-01a --proto icmp --icmp-type 8', 'may that host ping the VM?'],
  ],
  build: (parser) => parser
    .option('from', { type: 'string', demandOption: true, requiresArg: true, describe: 'address, namespace/pod, VM or filter' })
    .option('to', { type: 'string', demandOption: true, requiresArg: true, describe: 'address, namespace/pod, VM or filter' })
    .option('proto', { type: 'string', requiresArg: true, describe: 'tcp, udp, icmp, ... or a number (default tcp with a port, else any)' })
    .option('sport', { type: 'string', requiresArg: true, coerce: integer('sport', 0, 65_535), describe: 'source port' })
    .option('dport', { type: 'string', requiresArg: true, coerce: integer('dport', 0, 65_535), describe: 'destination port' })
    .option('icmp-type', { type: 'string', requiresArg: true, coerce: integer('icmp-type', 0, 255), describe: 'ICMP type' })
    .option('icmp-code', { type: 'string', requiresArg: true, coerce: integer('icmp-code', 0, 255), describe: 'ICMP code' }),
  async run({ from, to, proto, sport, dport, icmpType, icmpCode }, { agent, out, format, palette }) {
    const protocol = proto ?? (sport === undefined && dport === undefined ? undefined : 'tcp');
    const request: TraceRequest = {
      from, to,
      ...(protocol === undefined ? {} : { protocol }),
      ...(sport === undefined ? {} : { sourcePort: sport }),
      ...(dport === undefined ? {} : { destinationPort: dport }),
      ...(icmpType === undefined ? {} : { icmpType }),
      ...(icmpCode === undefined ? {} : { icmpCode }),
    };
    const view = await (await agent()).trace(request);
    await print(out, format, view, () => traceText(view, palette));
  },
});
