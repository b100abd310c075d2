import { AgentError } from '../../model/errors.js';
import { EXIT } from '../exit-codes.js';
import { learnedAddressesText } from '../render/addresses.js';
import { print } from '../render/structured.js';
import { defineVerb } from '../verb.js';

const ACTIONS = ['list', 'approve', 'release'] as const;

export const addresses = defineVerb({
  command: 'addresses <action> [filter] [address]',
  summary: 'show, approve and release addresses that were learned of workloads (ipDiscovery)',
  examples: [
    ['agentctl addresses list', 'what every workload was seen to have, by what, since when'],
    ['agentctl addresses list web-1 -o json', 'of one filter: its name, interface, namespace/pod or VM'],
    ['agentctl addresses approve web-1 10.0.0.5', 'an address that waits (mode manual) becomes the workload\'s'],
    ['agentctl addresses release web-1 10.0.0.5', 'forget one; what is seen afterwards is learned anew'],
    ['agentctl addresses release web-1', 'forget all of the filter'],
  ],
  build: (parser) => parser
    .positional('action', { choices: ACTIONS, demandOption: true, describe: 'what to do' })
    .positional('filter', { type: 'string', describe: 'filter, interface, namespace/pod or name of a VM; list: all when omitted' })
    .positional('address', { type: 'string', describe: 'release: all of the filter when omitted' }),
  async run({ action, filter, address }, { agent, out, format }) {
    if (action === 'list') {
      if (address !== undefined) throw new AgentError('E_USAGE', 'addresses list takes no address');
      const rows = await (await agent()).listAddresses(filter);
      await print(out, format, { addresses: rows }, () => learnedAddressesText(rows));
      return EXIT.done;
    }
    if (filter === undefined) throw new AgentError('E_USAGE', `addresses ${action} takes a filter`);
    if (action === 'approve') {
      if (address === undefined) throw new AgentError('E_USAGE', 'addresses approve takes a filter and an address');
      const approved = await (await agent()).approveAddress({ filter, address });
      await print(out, format, approved, () => `${approved.address} is now an address of ${approved.filter}\n`);
      return EXIT.done;
    }
    const released = await (await agent()).releaseAddresses({ filter, ...(address === undefined ? {} : { address }) });
    await print(out, format, { addresses: released }, () => released.map((row) => `${row.address} of ${row.filter} released\n`).join(''));
    return EXIT.done;
  },
});
