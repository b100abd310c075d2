import { describe, expect, it } from 'vitest';
import { V8Heap } from '../../../src/platform/heap.js';

describe('V8Heap', () => {
  it('lets the heap grow while anybody asks for it', () => {
    const flags: string[] = [];
    const heap = new V8Heap(true, (flag) => flags.push(flag));
    const first = heap.roomy();
    const second = heap.roomy();
    expect(flags).toEqual(['--no-optimize-for-size']);
    first();
    first();
    expect(flags).toHaveLength(1);
    second();
    expect(flags).toEqual(['--no-optimize-for-size', '--optimize-for-size']);
    heap.roomy()();
    expect(flags).toHaveLength(4);
  });

  it('changes nothing of a process that was started otherwise', () => {
    const flags: string[] = [];
    new V8Heap(false, (flag) => flags.push(flag)).roomy()();
    expect(flags).toEqual([]);
  });
});
