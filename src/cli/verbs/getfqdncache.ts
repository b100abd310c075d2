import { print } from '../render/structured.js';
import { table } from '../render/table.js';
import { defineVerb } from '../verb.js';

export const getfqdncache = defineVerb({
  command: 'getfqdncache',
  summary: 'list the addresses that DNS replies gave the domain names of rules',
  examples: [
    ['agentctl getfqdncache', 'all names'],
    ["agentctl getfqdncache -d '*.example.com'", 'those below example.com'],
  ],
  build: (parser) => parser.option('domain', { alias: 'd', type: 'string', requiresArg: true, describe: 'a name, with * for anything' }),
  async run({ domain }, { agent, out, format }) {
    const entries = await (await agent()).getFqdnCache(domain);
    await print(out, format, { entries }, () => table([
      { title: 'FQDN', cell: (row) => row.fqdn },
      { title: 'ADDRESS', cell: (row) => row.address },
      { title: 'EXPIRATION', cell: (row) => row.expiration },
    ], entries));
  },
});
