import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PodObject } from '../../../../src/model/objects.js';
import { Decoder } from '../../../../src/sources/manifests/decode.js';
import { KIND_DECODERS } from '../../../../src/sources/manifests/kinds.js';
import { ValuePool } from '../../../../src/sources/kubernetes/value-pool.js';
import { JsonCutter } from '../../../../src/sources/kubernetes/json-cut.js';
import { podManifest, trimmer } from '../../../../src/sources/kubernetes/trim.js';
import { itemShape, itemTrimmer } from '../../../../src/sources/kubernetes/trimmed-item.js';

const decoder = new Decoder();
const name = fc.stringMatching(/^[a-z]{1,8}$/);
const orNull = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary, { nil: null });

/** Pods as API servers send them: much of them means nothing here, some of it is junk. */
const pods = fc.record({
  metadata: fc.record({
    name, namespace: name, labels: fc.dictionary(name, fc.oneof(name, fc.integer())), uid: fc.uuid(), managedFields: fc.array(fc.object()),
    annotations: orNull(fc.dictionary(fc.constantFrom('networkpolicy.antrea.io/enable-logging', 'other'), name)),
  }, { requiredKeys: ['name'] }),
  spec: orNull(fc.record({
    nodeName: orNull(name), serviceAccountName: name, hostNetwork: fc.boolean(), volumes: fc.array(fc.object()),
    containers: orNull(fc.array(fc.record({ name, image: name, ports: orNull(fc.array(fc.record({ name: orNull(name), containerPort: fc.integer({ min: 0, max: 70_000 }), protocol: orNull(fc.constantFrom('TCP', 'UDP', 'SCTP', 'XYZ')) }, { requiredKeys: ['containerPort'] }))) }, { requiredKeys: ['name'] }))),
    initContainers: fc.array(fc.record({ name, restartPolicy: orNull(fc.constantFrom('Always', 'Never')), ports: fc.array(fc.record({ name, containerPort: fc.integer({ min: 1, max: 65_535 }) })) })),
  }, { requiredKeys: [] })),
  status: orNull(fc.record({
    phase: fc.constantFrom('Running', 'Pending', 'Succeeded'), podIP: fc.constantFrom('10.0.0.1', '', 'junk'), podIPs: orNull(fc.array(fc.record({ ip: fc.constantFrom('10.0.0.1', 'fd00::1', '::ffff:1.2.3.4') }))), conditions: fc.array(fc.object()),
  }, { requiredKeys: [] })),
}, { requiredKeys: ['metadata'] });

function schemaOf(kind: string): object {
  return KIND_DECODERS.find((known) => known.kind === kind)?.schema ?? {};
}

describe('trimming', () => {
  it('changes nothing of what a Pod means, or of why it is refused', () => {
    const trim = trimmer('v1', 'Pod', schemaOf('Pod'), new ValuePool());
    let accepted = 0;
    fc.assert(fc.property(pods, (pod) => {
      const whole = decoder.decode({ apiVersion: 'v1', kind: 'Pod', ...pod });
      const trimmed = decoder.decode(trim(pod));
      expect(trimmed).toEqual(whole);
      if ('object' in whole) accepted++;
    }), { numRuns: 400 });
    expect(accepted).toBeGreaterThan(15);
  });

  it('looks at no more than what a document is cut down to before', () => {
    for (const [written, apiVersion, own] of [['Pod', 'v1', false], ['NetworkPolicy', 'networking.k8s.io/v1', false], ['SecurityPolicy', 'dfw.dev/v1', true]] as const) {
      const trim = itemTrimmer({ written, own }, apiVersion, new ValuePool());
      const cutter = new JsonCutter(itemShape({ written, own, apiVersion }));
      fc.assert(fc.property(pods, fc.integer(), fc.boolean(), (pod, generation, pretty) => {
        const metadata = { ...pod.metadata, resourceVersion: '7', generation, annotations: { mine: '1', 'kubectl.kubernetes.io/last-applied-configuration': '{}', ...pod.metadata.annotations } };
        const text = JSON.stringify({ ...pod, metadata }, undefined, pretty ? 2 : undefined);
        const cut = cutter.cut(Buffer.from(text));
        expect(cut).toBeDefined();
        expect(trim(JSON.parse(Buffer.from(cut ?? []).toString()))).toEqual(trim(JSON.parse(text)));
      }), { numRuns: 150 });
    }
  });

  it('makes of a Pod the manifest that means it', () => {
    fc.assert(fc.property(pods, (pod) => {
      const decoded = decoder.decode({ apiVersion: 'v1', kind: 'Pod', ...pod });
      if (!('object' in decoded)) return;
      const again = decoder.decode(podManifest(decoded.object as PodObject));
      expect(again).toEqual(decoded);
    }), { numRuns: 300 });
  });

  it('leaves policies as they are written, without what the server and kubectl add', () => {
    const trim = trimmer('networking.k8s.io/v1', 'NetworkPolicy', schemaOf('NetworkPolicy'), new ValuePool());
    const spec = { podSelector: { matchLabels: { a: 'b' } }, unknown: 1 };
    const metadata = { name: 'p', namespace: 'x', resourceVersion: '5', managedFields: [{}], creationTimestamp: 't', annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}', mine: 'y' } };
    expect(trim({ metadata, spec })).toEqual({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'p', namespace: 'x', annotations: { mine: 'y' } }, spec });
  });

  it('passes on what is no object, for the decoder to refuse', () => {
    const trim = trimmer('v1', 'Pod', schemaOf('Pod'), new ValuePool());
    for (const junk of [null, 5, 'text', [], [1]]) expect(trim(junk)).toEqual(junk);
  });
});
