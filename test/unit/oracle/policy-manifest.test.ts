/** Generated objects as manifests: the product reads back exactly the objects that the oracle judges by. */
import { expect, it } from 'vitest';
import { objectKey } from '../../../src/model/objects.js';
import { Decoder } from '../../../src/sources/manifests/decode.js';
import { edit, generateObjects } from '../../oracle/policy-generate.js';
import { document, noise } from '../../oracle/policy-manifest.js';
import { EXAMPLE_PLAN as plan } from '../../oracle/policy-plan.js';
import { Random } from '../../oracle/random.js';

const decoder = new Decoder();

it('is read back as it was generated', () => {
  for (let seed = 1; seed <= 40; seed += 1) {
    const random = new Random(seed);
    const objects = generateObjects(random, plan);
    for (const object of [...objects, ...edit(random, plan, objects)]) {
      const decoded = decoder.decode(JSON.parse(JSON.stringify(document(object))));
      expect(decoded, `seed ${seed} ${objectKey(object)} ${JSON.stringify(document(object))}`).toEqual({ object });
    }
  }
});

it('makes noise of pods that are valid, and have no address for anybody', () => {
  const documents = noise(generateObjects(new Random(1), plan));
  expect(documents).toHaveLength(3);
  for (const pod of documents) {
    const decoded = decoder.decode(JSON.parse(JSON.stringify(pod)));
    if (!('object' in decoded) || decoded.object.kind !== 'Pod') throw new Error(`refused: ${JSON.stringify(decoded)}`);
    expect(decoded.object.hostNetwork === true || decoded.object.addresses.length === 0).toBe(true);
  }
});
