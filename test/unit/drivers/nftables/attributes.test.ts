import fc from 'fast-check';
import { expect, it } from 'vitest';
import { attributes, AttributeWriter, readText } from '../../../../src/drivers/nftables/attributes.js';

it('texts of any characters come back, with what stands around them', () => {
  const text = fc.oneof(fc.string({ maxLength: 40 }), fc.string({ unit: 'binary', maxLength: 10 })).filter((value) => !value.includes('\0'));
  fc.assert(fc.property(fc.array(text, { maxLength: 60 }), (values) => {
    const writer = new AttributeWriter();
    for (const [index, value] of values.entries()) writer.text(index, value).u32(100, index);
    const found = attributes(writer.finish());
    // As UTF-8 has them: a lone surrogate has no bytes of its own.
    expect(found.filter(({ type }) => type !== 100).map(({ type, payload }) => [type, readText(payload)])).toEqual([...values.map((value) => Buffer.from(value).toString()).entries()]);
    expect(found.filter(({ type }) => type === 100).map(({ payload }) => payload[3])).toEqual(values.map((_, index) => index));
    expect(found.every(({ payload }) => payload.length > 0 && (payload.length === 4 || payload.at(-1) === 0))).toBe(true);
  }));
});
