/** Puts the agent's table in force in the network namespace that this runs in, and ends: the kernel keeps it. */
import type { DesiredObject } from '../../src/model/objects.js';
import type { PolicyOptions } from '../model/policy.js';
import { makePolicy, addressText } from '../model/policy.js';
import { addressSet, desiredObjects, ruleTables, workload } from '../model/desired.js';
import { SERVER } from '../model/frames.js';
import { Datapath } from '../lib/datapath.js';

interface LoadRequest {
  readonly policy: PolicyOptions;
  /** vNICs vnic0, vnic1, ..., each with a table of its own (the policy with another seed). */
  readonly vnics: number;
}

const request: LoadRequest = JSON.parse(process.argv[2] ?? '{}');
const objects: DesiredObject[] = [];
for (let vnic = 0; vnic < request.vnics; vnic += 1) {
  // Groups are the same for all; rules are not.
  const policy = makePolicy(request.policy, request.policy.rules + 1 + vnic);
  if (vnic === 0) objects.push(...policy.sets.map((set) => addressSet(set.name, set.addresses)));
  objects.push(...workload(`vm-${vnic}`, `vnic${vnic}`, [addressText(SERVER + vnic)]), ...ruleTables(policy.rules, `policy-${vnic}`, `vm-${vnic}`));
}
const datapath = new Datapath();
await datapath.apply(desiredObjects(objects));
await datapath.settle();
datapath.close();
console.log(JSON.stringify({ objects: objects.length }));
