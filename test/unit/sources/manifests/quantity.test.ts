import { expect, it } from 'vitest';
import { quantityOf } from '../../../../src/sources/manifests/quantity.js';

it.each([
  ['0', 0], ['500k', 500_000], ['10M', 10_000_000], ['1.5M', 1_500_000], ['2G', 2_000_000_000], ['1Ki', 1_024], ['2Gi', 2_147_483_648], ['1e6', 1_000_000], ['1E3', 1_000], ['100m', 1], ['.5k', 500], ['3.', 3], ['1E', 1e18],
])('%s is %d', (text, value) => expect(quantityOf(text)).toBe(value));
it.each(['', 'k', '10 M', '10K', '10mb', '1.2.3', '0x10', '1e', 'e3', '10Mbit'])('%j is none', (text) => expect(quantityOf(text)).toBeUndefined());
