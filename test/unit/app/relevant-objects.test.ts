import { describe, expect, it } from 'vitest';
import { isOfDiscovery, RelevantObjects } from '../../../src/app/relevant-objects.js';
import { objectKey, type DesiredObject } from '../../../src/model/objects.js';
import { ObjectStore } from '../../../src/sources/object-store.js';

const pod = (name: string, nodeName: string): DesiredObject => ({ kind: 'Pod', metadata: { name, namespace: 'n', labels: {} }, nodeName, addresses: [], ports: [] });
const machine = (name: string): DesiredObject => ({ kind: 'VirtualMachine', metadata: { name, labels: {} }, nics: [] });

describe('what discoveries look at', () => {
  it('is the same map until something in it changes, whatever else does', () => {
    const store = new ObjectStore();
    const put = (object: DesiredObject): void => store.set(objectKey(object), object);
    put(pod('here', 'h1'));
    put(pod('there', 'h2'));
    put(machine('vm'));
    let objects: ReadonlyMap<string, DesiredObject> = store.publish(1);
    const relevant = new RelevantObjects({ snapshot: () => ({ objects, manifests: new Map(), errors: [], revision: 1 }) }, isOfDiscovery('h1'));
    const first = relevant.objects;
    expect([...first.keys()].sort()).toEqual(['Pod/n/here', 'VirtualMachine/vm']);
    for (let index = 0; index < 100; index += 1) put(pod(`other-${index}`, 'h2'));
    objects = store.publish(2);
    expect(relevant.objects).toBe(first);
    put(pod('there', 'h1'));
    store.delete('VirtualMachine/vm');
    objects = store.publish(3);
    expect([...relevant.objects.keys()].sort()).toEqual(['Pod/n/here', 'Pod/n/there']);
    put(pod('here', 'h2'));
    objects = store.publish(4);
    expect([...relevant.objects.keys()]).toEqual(['Pod/n/there']);
    expect([...first.keys()].sort()).toEqual(['Pod/n/here', 'VirtualMachine/vm']);
  });

  it('follows changes that are too many to be remembered', () => {
    const store = new ObjectStore();
    store.set('VirtualMachine/vm', machine('vm'));
    let objects: ReadonlyMap<string, DesiredObject> = store.publish(1);
    const relevant = new RelevantObjects({ snapshot: () => ({ objects, manifests: new Map(), errors: [], revision: 1 }) }, isOfDiscovery('h1'));
    expect(relevant.objects.size).toBe(1);
    for (let index = 0; index < 250_000; index += 1) store.set(`VirtualMachine/${index}`, pod('there', 'h2'));
    store.delete('VirtualMachine/vm');
    store.set('VirtualMachine/new', machine('new'));
    objects = store.publish(2);
    expect([...relevant.objects.keys()]).toEqual(['VirtualMachine/new']);
  });

  it('follows sources that replace their map', () => {
    let objects: ReadonlyMap<string, DesiredObject> = new Map([['VirtualMachine/a', machine('a')]]);
    const relevant = new RelevantObjects({ snapshot: () => ({ objects, manifests: new Map(), errors: [], revision: 1 }) }, isOfDiscovery('h1'));
    expect([...relevant.objects.keys()]).toEqual(['VirtualMachine/a']);
    objects = new Map([['VirtualMachine/b', machine('b')]]);
    expect([...relevant.objects.keys()]).toEqual(['VirtualMachine/b']);
  });
});
