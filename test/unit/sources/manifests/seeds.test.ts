/**
 * Every manifest printed in the articles that the project started from (test/fixtures/seeds) is accepted as it stands. Two of them lost
 * the indentation of a line on their way to the page, which is put back: without it they are not YAML.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { objectKey } from '../../../../src/model/objects.js';
import { parseFile } from '../../../../src/sources/file/parse-file.js';
import { Decoder } from '../../../../src/sources/manifests/decode.js';

const DIRECTORY = path.resolve(import.meta.dirname, '../../../fixtures/seeds');

function read(name: string): { keys: string[]; objects: unknown[]; problems: unknown[] } {
  const { documents } = parseFile(name, readFileSync(path.join(DIRECTORY, name), 'utf8'), new Decoder());
  const objects = documents.flatMap((document) => document.objects.map(({ object }) => object));
  return { keys: objects.map(objectKey), objects, problems: documents.flatMap(({ problems }) => problems) };
}

const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  'acnp-dropany.yaml': ['AntreaClusterNetworkPolicy/acnp-drop-any-in-production'],
  'acnp1.yaml': ['AntreaClusterNetworkPolicy/acnp-drop-access-to-redis'],
  'acnp11.yaml': ['AntreaClusterNetworkPolicy/acnp-drop-access-to-redis'],
  'acnp12.yaml': ['AntreaClusterNetworkPolicy/acnp-allow-access-to-redis'],
  'acnp2.yaml': ['AntreaClusterNetworkPolicy/acnp-allow-access-from-to-guestbook'],
  'acnp22.yaml': ['AntreaClusterNetworkPolicy/acnp-allow-access-from-to-guestbook'],
  'acnp3.yaml': [
    'AntreaClusterNetworkPolicy/acnp-allow-access-to-guestbook', 'AntreaClusterNetworkPolicy/acnp-allow-access-to-redis',
    'AntreaClusterNetworkPolicy/acnp-allow-access-to-redis-slave',
  ],
  'cg1.yaml': ['ClusterGroup/cg-guestbook', 'ClusterGroup/cg-redis-master', 'ClusterGroup/cg-redis-slave', 'ClusterGroup/cg-redis-nested'],
  'external-ip-pool-1.yaml': ['ExternalIPPool/external-ip-pool-1'],
  'fruits-app-egress.yaml': ['Egress/fruits-app-egress'],
  'mytier.yaml': ['Tier/mytier'],
  'np1.yaml': ['NetworkPolicy/default/drop-access-to-redis'],
  'np2.yaml': ['NetworkPolicy/default/drop-access-to-guestbook'],
  'np22.yaml': ['NetworkPolicy/default/allow-access-from-to-guestbook'],
  'np3.yaml': ['NetworkPolicy/default/allow-access-from-other-ns'],
};

describe('the seeds', () => {
  it('are all here', () => {
    expect(readdirSync(DIRECTORY)).toEqual(expect.arrayContaining(Object.keys(EXPECTED)));
  });

  it.each(Object.entries(EXPECTED))('%s is accepted', (name, keys) => {
    expect(read(name)).toMatchObject({ keys, problems: [] });
  });

  it('mean what they say', () => {
    const app = (value: string): object => ({ matchLabels: { app: value }, matchExpressions: [] });
    const project = (value: string): object => ({ matchLabels: { project: value }, matchExpressions: [] });
    expect(read('np3.yaml').objects).toEqual([{
      kind: 'NetworkPolicy', metadata: { name: 'allow-access-from-other-ns', namespace: 'default', labels: {} }, podSelector: app('guestbook'),
      policyTypes: ['Ingress'], ingress: [{ peers: [{ namespaceSelector: project('test') }, { podSelector: app('other') }], ports: [] }], egress: [],
    }]);
    expect(read('acnp22.yaml').objects).toEqual([{
      kind: 'AntreaClusterNetworkPolicy', metadata: { name: 'acnp-allow-access-from-to-guestbook', labels: {} }, tier: 'securityops', priority: 5,
      appliedTo: [{ podSelector: app('guestbook'), namespaceSelector: project('prod') }],
      ingress: [{
        name: 'AllowFromGuestbook', action: 'Allow', peers: [{ podSelector: app('guestbook'), namespaceSelector: project('test') }],
        ports: [], protocols: [], toServices: [], appliedTo: [], log: false,
      }],
      egress: [],
    }]);
    expect(read('cg1.yaml').objects).toMatchObject([
      { selection: { podSelector: app('guestbook') } }, { service: { namespace: 'default', name: 'redis-master' } },
      { service: { namespace: 'default', name: 'redis-slave' } }, { childGroups: ['cg-redis-master', 'cg-redis-slave'] },
    ]);
    expect(read('mytier.yaml').objects).toEqual([{ kind: 'Tier', metadata: { name: 'mytier', labels: {} }, priority: 10, description: 'my custom tier' }]);
    expect(read('external-ip-pool-1.yaml').objects).toEqual([{
      kind: 'ExternalIPPool', metadata: { name: 'external-ip-pool-1', labels: {} }, ranges: ['172.19.64.101-172.19.64.110'],
      nodeSelector: { matchLabels: { 'kubernetes.io/hostname': 'k8s-worker-1' }, matchExpressions: [] },
    }]);
    expect(read('fruits-app-egress.yaml').objects).toEqual([{
      kind: 'Egress', metadata: { name: 'fruits-app-egress', labels: {} }, egressIp: '172.19.64.101', externalIpPool: 'external-ip-pool-1',
      appliedTo: { podSelector: app('fruits-app-total'), namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'default' }, matchExpressions: [] } },
    }]);
  });
});
