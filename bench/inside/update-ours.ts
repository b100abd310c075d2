/**
 * Small changes to a large table in force, in one process that stays, as the agent does. Prints the milliseconds of each change.
 *   address        one host more in a set: the object changes, world and compilation follow, the kernel is told
 *   address-delta  the same when the caller knows what came: compilation and kernel only
 *   rule           one rule more in the middle
 */
import { addressKey } from '../../src/compile/addresses.js';
import { changeHosts } from '../../src/compile/set-change.js';
import type { DesiredObject } from '../../src/model/objects.js';
import { objectKey } from '../../src/model/objects.js';
import type { Rule } from '../../src/model/rule.js';
import { updateRequest } from '../benches/update-request.js';
import { Datapath, milliseconds } from '../lib/datapath.js';
import { addressSet, desiredObjects, policyObjects, ruleTables, workload } from '../model/desired.js';
import { addressText, ANY, makePolicy } from '../model/policy.js';

const request = updateRequest(process.argv[2]);
const BIG = 'big';
const FIRST_MEMBER = 0x0b00_0000; // 11.0.0.0
const policy = makePolicy(request.policy);
const base = policyObjects(policy, workload('vm', 'vnic0', ['192.0.2.10']));
const datapath = new Datapath();
const times: number[] = [];

async function changeAddresses(whole: boolean): Promise<void> {
  let members = Array.from({ length: request.members }, (_, index) => addressText(FIRST_MEMBER + 2 * index));
  const rules = [1, 2, 3].map((port): Rule => ({
    id: port, direction: request.direction, protocol: 6, source: { ...ANY, addressSets: [BIG] }, sourcePorts: [], destination: ANY,
    ports: [{ first: port, last: port }], action: 'accept', log: false, stateless: false,
  }));
  const objects = desiredObjects([...base, addressSet(BIG, members), ...ruleTables(rules, 'big')]);
  let target = datapath.target(datapath.world(objects));
  await datapath.driver.apply(target);
  for (let change = 0; change < request.changes; change += 1) {
    const address = addressText(FIRST_MEMBER + 2 * request.members + 8 * change);
    if (whole) {
      members = [...members, address];
      const changed = addressSet(BIG, members);
      objects.set(objectKey(changed), changed);
      const started = process.hrtime.bigint();
      await datapath.apply(objects);
      times.push(milliseconds(started));
    } else {
      const key = addressKey(address);
      if (key === undefined) throw new Error(`no address: ${address}`);
      const started = process.hrtime.bigint();
      const tables = new Map([...target.tables].map(([name, table]) => {
        const updated = changeHosts(table, [{ key: `/${BIG}`, added: [key], removed: [] }]);
        if (updated === undefined) throw new Error('the change needs a fresh compilation');
        return [name, updated];
      }));
      target = { filters: target.filters, tables };
      await datapath.driver.apply(target);
      times.push(milliseconds(started));
    }
    await datapath.settle();
  }
}

async function changeRules(): Promise<void> {
  const objects: DesiredObject[] = base.filter((object) => object.kind !== 'RuleTable');
  let { rules } = policy;
  await datapath.apply(desiredObjects(base));
  for (let change = 0; change < request.changes; change += 1) {
    const middle = rules.length >> 1;
    const rule: Rule = { ...(rules[middle - 1] ?? policy.rules[0]) as Rule, id: 1_000_000 + change, protocol: 6, ports: [{ first: 60_100 + change, last: 60_100 + change }] };
    rules = [...rules.slice(0, middle), rule, ...rules.slice(middle)];
    const changed = desiredObjects([...objects, ...ruleTables(rules, 'policy')]);
    const started = process.hrtime.bigint();
    await datapath.apply(changed);
    times.push(milliseconds(started));
    await datapath.settle();
  }
}

if (request.change === 'rule') await changeRules();
else await changeAddresses(request.change === 'address');
datapath.close();
console.log(JSON.stringify({ times }));
