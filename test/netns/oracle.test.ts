/** The oracle against plain linear nft rules and real packets: is it right about first match, sets, families, L2? */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ExpectedPolicy } from '../oracle/expectation.js';
import { generateCase } from '../oracle/generate.js';
import { mustRun } from '../support/command.js';
import { compare, describeMismatch, describePolicy } from '../support/differential.js';
import { flushConntrack } from '../support/kernel.js';
import { linearNft } from '../support/linear-nft.js';
import { createWorld, type World } from '../support/netns.js';
import { startProbe, type Probe } from '../support/probe/probe.js';

const TABLES = Number(process.env['DFW_ORACLE_TABLES'] ?? 40);

let world: World;
let probe: Probe;
beforeAll(async () => {
  world = await createWorld({ workloads: 4, outside: true });
  probe = await startProbe(world);
});
afterAll(() => world.close());

it(`says what linear nft rules do, for ${TABLES} random tables`, { timeout: Math.max(60_000, TABLES * 1_000) }, async () => {
  const failures: string[] = [];
  for (let seed = 1; seed <= TABLES && failures.length < 3; seed += 1) {
    const made = generateCase(seed, world.plan, { packets: 50 });
    const policy: ExpectedPolicy = { tables: made.tables, sharedSets: made.sharedSets, failurePolicy: seed % 5 === 0 ? 'open' : 'closed' };
    await mustRun('ip', ['netns', 'exec', world.host, 'nft', '-f', '-'], { input: linearNft(policy, world.workloads) });
    await flushConntrack(world);
    const mismatches = await compare(world.plan, policy, probe, made.packets);
    if (mismatches.length > 0) failures.push([`seed ${seed}`, describePolicy(policy), ...mismatches.slice(0, 3).map(describeMismatch)].join('\n'));
  }
  expect(failures.join('\n\n')).toBe('');
});
