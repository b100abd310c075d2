import { describe, expect, it } from 'vitest';
import { Compiler } from '../../../src/compile/compiler.js';
import { buildWorld } from '../../../src/compile/world.js';
import type { AttachmentObject, DesiredObject, RuleTableObject } from '../../../src/model/objects.js';
import { objectKey } from '../../../src/model/objects.js';

const attachment = (early: boolean): AttachmentObject => ({
  kind: 'Attachment', metadata: { name: 'a', labels: {} }, workload: { kind: 'Pod', namespace: 'n', name: 'p' }, vnic: 'eth0', interface: 'veth1', addresses: [], ...(early ? { early: true } : {}),
});
const table: RuleTableObject = { kind: 'RuleTable', metadata: { name: 'everybody', labels: {} }, addressSets: [], rules: [], layer2Rules: [] };
const inForce = (early: boolean, known: boolean, ...tables: readonly RuleTableObject[]): readonly string[] | undefined => {
  const objects: readonly DesiredObject[] = [attachment(early), ...tables];
  const world = buildWorld(new Map(objects.map((object) => [objectKey(object), object])), { number: () => 1 });
  const compilation = new Compiler().compile(world, () => (known ? [] : undefined));
  const key = compilation.filterTables.get('nic-1-eth0-dfw.2');
  return key === undefined ? undefined : compilation.sources.get(key)?.map((each) => each.table.metadata.name);
};

describe('a filter whose policies cannot be told', () => {
  it('of a pod that began before its object: what rule tables leave is dropped until they can', () => {
    expect(inForce(true, false, table)).toEqual(['everybody', 'policies-unknown']);
    expect(inForce(true, true, table)).toEqual(['everybody']);
  });

  it('has no table in force without rule tables: its failure policy decides', () => {
    expect([inForce(true, false), inForce(false, false)]).toEqual([undefined, undefined]);
    expect(inForce(true, true)).toEqual([]);
  });

  it('that was declared: what rule tables leave is accepted', () => {
    expect(inForce(false, false, table)).toEqual(['everybody']);
  });
});
