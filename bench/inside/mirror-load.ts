/** Puts the agent's rules in force for vnic0, and its copies to the tap if asked, in the network namespace that this runs in, and ends: the kernel keeps them. */
import type { Rule } from '../../src/model/rule.js';
import { NetdevDriver } from '../../src/drivers/nftables/netdev-driver.js';
import { netdevImage } from '../../src/drivers/nftables/netdev-layout.js';
import { desiredObjects, ruleTables, workload } from '../model/desired.js';
import { ANY, addressText } from '../model/policy.js';
import { SERVER } from '../model/frames.js';
import { Datapath, native, QUIET } from '../lib/datapath.js';

interface LoadRequest {
  readonly copies: boolean;
  readonly vnic: number;
  readonly tap: number;
  readonly sensor: { readonly interface: string; readonly interfaceIndex: number };
}

const request: LoadRequest = JSON.parse(process.argv[2] ?? '{}');
const accept: Rule = { id: 1006, direction: 'inout', protocol: 'any', source: ANY, sourcePorts: [], destination: ANY, ports: [], action: 'accept', log: false, stateless: false };
const datapath = new Datapath();
await datapath.apply(desiredObjects([...workload('vm', 'vnic0', [addressText(SERVER)]), ...ruleTables([accept], 'all')]));
await datapath.settle();
datapath.close();
const { NftSocket } = native();
const socket = new NftSocket();
const targets = request.copies ? [{ name: 'copies', control: 'copies', deviceIndex: request.tap }] : [];
await new NetdevDriver({ socket, log: QUIET }).apply(netdevImage([
  { number: 1, interface: 'vnic0', interfaceIndex: request.vnic, mac: '', mirrors: { in: targets, out: targets }, redirects: { in: [], out: [] }, blocked: [], layer2: [] },
], [request.sensor], 223, 0));
socket.close();
console.log('{}');
