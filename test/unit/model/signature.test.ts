import { expect, it } from 'vitest';
import fc from 'fast-check';
import { Selector, type Signature, type SignatureSelection } from '../../../src/model/signature.js';

const signatures: fc.Arbitrary<Signature> = fc.record({
  sid: fc.integer({ min: 1, max: 6 }), rev: fc.constant(1), action: fc.constant('alert'), severity: fc.integer({ min: 1, max: 5 }), category: fc.constantFrom('', 'a', 'B'), message: fc.constant(''),
});
const sids = fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 3 });
const selections: fc.Arbitrary<SignatureSelection> = fc.record({
  severities: fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 2 }), categories: fc.array(fc.constantFrom('A', 'b'), { maxLength: 2 }), sids, disabledSids: sids,
}, { requiredKeys: [] });

it('anyOf selects what any of them does', () => {
  fc.assert(fc.property(fc.array(selections, { minLength: 1, maxLength: 3 }), signatures, (anyOf, signature) => {
    expect(new Selector({ anyOf }).selects(signature)).toBe(anyOf.some((one) => new Selector(one).selects(signature)));
  }));
});
