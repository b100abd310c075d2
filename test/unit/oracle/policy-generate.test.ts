/** The generator: the same case for the same seed, valid, and of every sort that there is to judge. */
import { describe, expect, it } from 'vitest';
import { objectKey } from '../../../src/model/objects.js';
import { connectionKey } from '../../oracle/generate.js';
import { endpointOf } from '../../oracle/plan.js';
import { edit, generateObjects } from '../../oracle/policy-generate.js';
import { NODE, type PolicyPlan } from '../../oracle/policy-inventory.js';
import { oracleOf } from '../../oracle/policy-oracle.js';
import { generatePackets, pathOf } from '../../oracle/policy-packets.js';
import { EXAMPLE_PLAN as plan } from '../../oracle/policy-plan.js';
import { isPolicy } from '../../oracle/policy-world.js';
import { Random } from '../../oracle/random.js';

const caseOf = (seed: number, from: PolicyPlan = plan) => {
  const random = new Random(seed);
  const objects = generateObjects(random, from);
  return { objects, packets: generatePackets(random, from, { objects, node: NODE, cluster: 'default' }, 30), edited: edit(random, from, objects) };
};

describe('policy generator', () => {
  it('gives the same case for the same seed', () => {
    expect(caseOf(7)).toEqual(caseOf(7));
    expect(caseOf(7).objects).not.toEqual(caseOf(8).objects);
  });

  it('names every object once, also after edits, and keeps the attachments', () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const { objects, edited } = caseOf(seed);
      for (const list of [objects, edited]) expect(new Set(list.map(objectKey)).size).toBe(list.length);
      const attachments = (list: typeof objects): unknown[] => list.filter(({ kind }) => kind === 'Attachment');
      expect(attachments(edited)).toEqual(attachments(objects));
      expect(attachments(objects)).toHaveLength(plan.workloads.length);
    }
  });

  it('gives packets that the tracker can tell apart and the world routes', () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const { packets } = caseOf(seed);
      expect(packets).toHaveLength(30);
      expect(new Set(packets.map(({ packet }) => connectionKey(packet))).size).toBe(30);
      for (const { from, packet } of packets) {
        const to = endpointOf(plan, packet.destination);
        expect(to).toBeDefined();
        expect(to).not.toBe(from);
      }
    }
  });

  it('decides by every kind of policy, in every way', { timeout: 60_000 }, () => {
    const kinds = new Set<string>();
    const decided = new Set<string>();
    for (let seed = 1; seed <= 120; seed += 1) {
      const { objects, packets } = caseOf(seed);
      for (const object of objects.filter(isPolicy)) kinds.add(object.kind);
      const judge = oracleOf({ objects, node: NODE, cluster: 'default' });
      for (const sent of packets) {
        for (const { by, policy, action, direction } of judge(sent.packet, pathOf(plan, sent)).steps) {
          const what = by === 'policy' && policy !== undefined ? `${policy.group} ${policy.kind} ${action}` : by;
          decided.add(what).add(`${what} ${direction}`);
        }
      }
    }
    expect(kinds.size).toBe(7);
    for (const expected of ['table', 'isolation', 'node', 'default', 'networking.k8s.io NetworkPolicy accept']) {
      for (const direction of ['in', 'out']) expect(decided).toContain(`${expected} ${direction}`);
    }
    for (const kind of ['crd.antrea.io ClusterNetworkPolicy', 'crd.antrea.io NetworkPolicy', 'dfw.dev SecurityPolicy']) {
      for (const action of ['accept', 'drop', 'reject']) expect(decided).toContain(`${kind} ${action}`);
    }
    for (const kind of ['AdminNetworkPolicy', 'BaselineAdminNetworkPolicy', 'ClusterNetworkPolicy']) {
      for (const action of ['accept', 'drop']) expect(decided).toContain(`policy.networking.k8s.io ${kind} ${action}`);
    }
  });
});
