import { describe, expect, it } from 'vitest';
import { labelKey } from '../../../src/compile/compiled.js';
import { LabelIds } from '../../../src/compile/label-ids.js';

describe('label keys', () => {
  it('are as the kernel keeps them, so that a restart finds the same ids', () => {
    const long = `AntreaNetworkPolicy:${'n'.repeat(63)}/${'p'.repeat(253)}#in.x-0000beef`;
    const keys = [labelKey(long, 1, 'in'), labelKey(long, 2, 'in'), labelKey(long, 1, 'out'), labelKey(`${long}a`, 1, 'in'), labelKey('t', 1, 'in')];
    expect(new Set(keys).size).toBe(keys.length);
    for (const key of keys) expect(key.length).toBeLessThanOrEqual(120);
    expect(keys.at(-1)).toBe('t/1 in');
    const first = new LabelIds();
    const ids = keys.map((key) => first.id(key));
    const next = new LabelIds();
    // As the comments of a kernel set give them back (userComment cuts at 120 bytes).
    ids.forEach((id, index) => next.seed(new TextDecoder().decode(new TextEncoder().encode(keys[index]).subarray(0, 120)), id));
    expect(keys.map((key) => next.id(key))).toEqual(ids);
  });
});
