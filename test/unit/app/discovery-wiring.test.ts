import { expect, it } from 'vitest';
import { some } from '../../../src/app/discovery-wiring.js';

it('names the first of many problems of a discovery', () => {
  expect(some(['port "a"'])).toEqual(['port "a"']);
  const lines = some(Array.from({ length: 25 }, (_, index) => `port ${index}`));
  expect([lines.length, lines.at(-2), lines.at(-1)]).toEqual([21, 'port 19', '5 more are not bound as they should be']);
});
