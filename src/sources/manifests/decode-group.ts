/** Group manifests of dfw.dev → objects. */
import type { GroupExpression, GroupObject } from '../../model/policy-objects.js';
import type { GroupExpressionManifest, GroupManifest } from './own-manifests.js';
import { isMac } from '../../model/address.js';
import { nsxNameProblem } from '../../model/names.js';
import { decodeMembers } from './addresses.js';
import { NONE, checkUnique, refuse } from './checks.js';
import { decodeGroupName } from './decode-security-policy.js';
import { decodeMeta, decodeWorkload } from './metadata.js';

export function decodeGroup(manifest: GroupManifest): GroupObject {
  const { criteria = NONE, addresses = NONE, workloads = NONE, groups = NONE } = manifest.spec;
  const metadata = decodeMeta(manifest.metadata, nsxNameProblem);
  const members = decodeMembers(addresses, 'spec.addresses');
  const mac = members.findIndex((member) => isMac(member));
  if (mac >= 0) throw refuse(`spec.addresses[${mac}]`, 'a Group has IP addresses only');
  const names = groups.map((name, index) => decodeGroupName(name, `spec.groups[${index}]`));
  checkUnique(names, 'group', (index) => `spec.groups[${index}]`);
  const itself = names.indexOf(metadata.name);
  if (itself >= 0) throw refuse(`spec.groups[${itself}]`, 'a Group cannot be a member of itself');
  return {
    kind: 'Group',
    metadata,
    criteria: criteria.map(({ all }, index) => decodeCriterion(all, `spec.criteria[${index}].all`)),
    addresses: members,
    workloads: workloads.map((workload, index) => decodeWorkload(workload, `spec.workloads[${index}]`)),
    groups: names,
  };
}

function decodeCriterion(all: readonly GroupExpressionManifest[], path: string): readonly GroupExpression[] {
  // An AND of nothing would hold for everything.
  if (all.length === 0) throw refuse(path, 'is empty; give at least one expression');
  return all.map((expression, index) => decodeExpression(expression, `${path}[${index}]`));
}

function decodeExpression(manifest: GroupExpressionManifest, path: string): GroupExpression {
  const { object, key, operator, value, values } = manifest;
  if (value !== undefined && values !== undefined) throw refuse(path, 'give only one of value, values');
  return { object, key, operator, values: decodeValues(manifest, path, value === undefined ? values : [value]) };
}

function decodeValues({ key, operator, values: listed }: GroupExpressionManifest, path: string, values: readonly string[] | undefined): readonly string[] {
  switch (operator) {
    case 'In':
    case 'NotIn':
      if (values === undefined || values.length === 0) throw refuse(path, `operator ${operator} needs values, one at least`);
      return values;
    case 'Exists':
      if (values === undefined) return NONE;
      if (key === 'Name') throw refuse(path, 'operator Exists of a Name takes no value');
      return single(values, operator, path);
    case 'Equals':
    case 'NotEquals':
    case 'Contains':
    case 'StartsWith':
    case 'EndsWith':
      if (listed !== undefined) throw refuse(`${path}.values`, `operator ${operator} takes value, not values`);
      if (values === undefined) throw refuse(path, 'the field value is missing');
      return values;
  }
}

function single(values: readonly string[], operator: string, path: string): readonly string[] {
  if (values.length !== 1) throw refuse(path, `operator ${operator} takes one value`);
  return values;
}
