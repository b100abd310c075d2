import { integer, requiredFilter } from '../options.js';
import { defineVerb } from '../verb.js';
import { writeChunks } from '../write-chunks.js';

export const capture = defineVerb({
  command: 'capture [expression..]',
  summary: 'write the packets of one vNIC to a pcap file',
  examples: [
    ['agentctl capture -f default/web -w web.pcap -c 100', 'the next hundred packets'],
    ['agentctl capture -f nic-3-eth0-dfw.2 -w - --seconds 10 | tcpdump -nr -', 'ten seconds, read by tcpdump'],
    ['agentctl capture -f default/web -w web.pcap "tcp port 3306"', 'only what a pcap filter selects'],
  ],
  build: (parser) => parser
    .positional('expression', { type: 'string', array: true, describe: 'pcap-filter(7) expression' })
    .option('filter', requiredFilter)
    .option('write', { alias: 'w', type: 'string', demandOption: true, requiresArg: true, describe: 'pcap file, or - for stdout' })
    .option('count', { alias: 'c', type: 'string', requiresArg: true, coerce: integer('count', 1, Number.MAX_SAFE_INTEGER), describe: 'stop after so many packets' })
    .option('seconds', { type: 'string', requiresArg: true, coerce: integer('seconds', 1, 86_400), describe: 'stop after so many seconds' })
    .option('snaplen', { type: 'string', requiresArg: true, coerce: integer('snaplen', 64, 262_144), describe: 'bytes kept of each packet' }),
  async run({ filter, write, count, seconds, snaplen, expression }, { agent, out, signal }) {
    const terms = expression?.join(' ') ?? '';
    const client = await agent();
    const chunks = client.capture({
      filter,
      ...(count === undefined ? {} : { count }),
      ...(seconds === undefined ? {} : { seconds }),
      ...(snaplen === undefined ? {} : { snaplen }),
      ...(terms === '' ? {} : { expression: terms }),
    }, signal);
    await writeChunks(write, chunks, out);
  },
});
