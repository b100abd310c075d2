/** A cluster's objects and policies on one node: all of them at once, then one pod event after the other. Prints what it took. */
import { Decoder } from '../../src/sources/manifests/decode.js';
import type { DesiredObject } from '../../src/model/objects.js';
import { objectKey } from '../../src/model/objects.js';
import { milliseconds } from '../lib/datapath.js';
import { PolicyDatapath } from '../lib/policy-datapath.js';
import { clusterManifests, podAddress, podManifest, PODS_EACH, type ClusterOptions } from '../model/cluster.js';

interface Request extends ClusterOptions {
  readonly events: number;
  /** Events a second for so many seconds afterwards. */
  readonly rate: number;
  readonly seconds: number;
}

const request: Request = JSON.parse(process.argv[2] ?? '{}');
const decoder = new Decoder();
const objects = new Map<string, DesiredObject>();

function decode(manifest: unknown): DesiredObject {
  const decoded = decoder.decode(manifest);
  if (!('object' in decoded)) throw new Error(JSON.stringify(decoded.problems));
  return decoded.object;
}

const manifests = [...clusterManifests(request)];
const started = process.hrtime.bigint();
for (const manifest of manifests) {
  const object = decode(manifest);
  objects.set(objectKey(object), object);
}
manifests.length = 0;
const decoded = milliseconds(started);
const datapath = new PolicyDatapath();
const step = datapath.compile([...objects].map(([key, after]) => ({ key, after })));
const compiled = milliseconds(started);
await step.apply();
const total = milliseconds(started);
await datapath.settle();
const residentMb = process.memoryUsage.rss() / 1e6;

// Pods of this node's namespaces and of others in turn: they come, go, and change labels and addresses.
let serial = 0;
async function event(): Promise<number> {
  const local = serial % 2 === 0;
  const namespace = local ? (serial >> 1) % Math.ceil(request.localPods / PODS_EACH) : (serial * 7919) % request.namespaces;
  const index = (serial >> 3) % PODS_EACH;
  const manifest = podManifest(namespace, index, podAddress(namespace, index) + 0x0100_0000 * (1 + (serial % 5)));
  serial += 1;
  const at = process.hrtime.bigint();
  const after = decode(manifest);
  const key = objectKey(after);
  const before = objects.get(key);
  objects.set(key, after);
  await datapath.compile([before === undefined ? { key, after } : { key, before, after }]).apply();
  const took = milliseconds(at);
  await datapath.settle();
  return took;
}

const times: number[] = [];
for (let count = 0; count < request.events; count += 1) times.push(await event());

let behindMs = 0;
const cpu = process.cpuUsage();
const from = process.hrtime.bigint();
let done = 0;
while (request.seconds > 0 && milliseconds(from) < request.seconds * 1000) {
  const due = Math.floor((milliseconds(from) / 1000) * request.rate);
  // What came meanwhile is applied together, as the agent does.
  if (due > done) {
    const late = milliseconds(from) - (done * 1000) / request.rate;
    behindMs = Math.max(behindMs, late);
    const changes = new Map<string, { key: string; before?: DesiredObject; after: DesiredObject }>();
    for (; done < due; done += 1) {
      const namespace = (done * 104_729) % request.namespaces;
      const index = done % PODS_EACH;
      const after = decode(podManifest(namespace, index, podAddress(namespace, index) + 0x0100_0000 * (1 + (done % 7))));
      const key = objectKey(after);
      const before = changes.get(key)?.before ?? objects.get(key);
      objects.set(key, after);
      changes.set(key, before === undefined ? { key, after } : { key, before, after });
    }
    await datapath.compile([...changes.values()]).apply();
    await datapath.settle();
  }
  await new Promise((resolve) => setTimeout(resolve, 5));
}
const used = process.cpuUsage(cpu);
const seconds = milliseconds(from) / 1000;
datapath.close();
console.log(JSON.stringify({
  total, decoded, compiled: compiled - decoded, applied: total - compiled, residentMb, times, events: done,
  cores: request.seconds > 0 ? (used.user + used.system) / 1e6 / seconds : 0, behindMs,
}));
