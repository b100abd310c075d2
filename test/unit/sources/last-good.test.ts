/** A document that is bad when the agent starts keeps what was in force before it stopped. */
import { mkdir, mkdtemp, rm, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Logger } from '../../../src/platform/logger.js';
import { InlineParser } from '../../../src/sources/file/file-parser.js';
import { FileSource } from '../../../src/sources/file/file-source.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
const good = 'apiVersion: dfw.dev/v1\nkind: AddressSet\nmetadata: { name: clients }\nspec: { addresses: [10.0.0.1] }\n';
const bad = good.replace('10.0.0.1', '10.0.0.256');

let directory: string;
let manifests: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dfw-last-good-'));
  manifests = join(directory, 'manifests.yaml');
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** What a new process sees. */
async function read(): Promise<{ objects: string[]; errors: number }> {
  const source = new FileSource({ path: manifests, logger: silent, parser: new InlineParser(), lastGood: join(directory, 'kept') });
  await source.start(new AbortController().signal);
  const { objects, errors } = source.snapshot();
  await source.stop();
  return { objects: [...objects.keys()], errors: errors.length };
}

it('keeps the last good version over a restart, however long the document stays bad', async () => {
  await writeFile(manifests, good);
  expect(await read()).toEqual({ objects: ['AddressSet/clients'], errors: 0 });
  await writeFile(manifests, bad);
  expect(await read()).toEqual({ objects: ['AddressSet/clients'], errors: 1 });
  expect(await read()).toEqual({ objects: ['AddressSet/clients'], errors: 1 });
  await writeFile(manifests, 'not: [yaml');
  expect(await read()).toEqual({ objects: ['AddressSet/clients'], errors: 1 });
});

it('lets go what was removed while nobody watched', async () => {
  await writeFile(manifests, good);
  await read();
  await writeFile(manifests, good.replace('clients', 'servers'));
  expect(await read()).toEqual({ objects: ['AddressSet/servers'], errors: 0 });
});

it('does not bring back a file that was taken away', async () => {
  const other = join(directory, 'dir');
  manifests = other;
  await mkdir(other);
  await writeFile(join(other, 'a.yaml'), good);
  await read();
  await unlink(join(other, 'a.yaml'));
  expect(await read()).toEqual({ objects: [], errors: 0 });
  await writeFile(join(other, 'a.yaml'), bad);
  expect(await read()).toEqual({ objects: [], errors: 1 });
});
