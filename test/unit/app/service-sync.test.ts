import { expect, it } from 'vitest';
import { AgentService, type AgentServiceOptions } from '../../../src/app/service.js';
import type { Source } from '../../../src/sources/source.js';

/** A service of which only sync() can be asked. */
function make() {
  const done: string[] = [];
  let start: () => void = () => undefined;
  const sourcesRead = new Promise<void>((resolve) => { start = resolve; });
  const source: Partial<Source> = { sync: async () => { done.push('read'); return Promise.resolve(); } };
  const options: Record<keyof Pick<AgentServiceOptions, 'sources' | 'sourcesRead' | 'loop' | 'enforcement' | 'status' | 'datapath'>, unknown> = {
    sourcesRead, sources: [{ name: 's', source }], loop: { flush: async () => { done.push('applied'); return Promise.resolve(); } }, enforcement: { settled: async () => Promise.resolve() },
    status: { errors: () => [] }, datapath: { realized: { generation: 3 } },
  };
  return { service: new AgentService(options as unknown as AgentServiceOptions), done, start };
}

it('sync waits until the sources were started: they must not be read before they know what they had stored', async () => {
  const { service, done, start } = make();
  await expect(service.sync(30)).rejects.toMatchObject({ code: 'E_CANCELLED', message: 'not in force after 30 ms', retryable: true });
  const patient = service.sync(60_000);
  await Promise.resolve();
  expect(done).toEqual([]);
  start();
  expect(await patient).toMatchObject({ realized: true, generation: 3 });
  // Nobody waits for the first one any more.
  expect(done).toEqual(['read', 'applied']);
});
