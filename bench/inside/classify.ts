/** Builds the routers, puts each variant's rules in force, and sends the bursts. Prints nanoseconds a packet, by variant and round. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ClassifyRequest, Variant } from '../benches/classify-request.js';
import { mustRun } from '../lib/command.js';
import { ROOT } from '../lib/datapath.js';
import { addRouters, delivered, prepareNamespaces, VNIC, type Router } from '../lib/routers.js';
import { admitted, concatenated, SERVER, udpFrame } from '../model/frames.js';
import { linearRuleset } from '../model/linear.js';
import { makePolicy } from '../model/policy.js';

const request: ClassifyRequest = JSON.parse(process.argv[2] ?? '{}');
const LOADER = fileURLToPath(new URL('datapath-load.js', import.meta.url));
const CONNTRACK = 'table inet peer {\nchain forward { type filter hook forward priority 0; ct state established,related accept; accept; }\n}\n';

async function configure(variant: Variant, { namespace }: Router): Promise<void> {
  const inside = ['netns', 'exec', namespace];
  // What the agent switches on is on for all that track connections.
  await mustRun('ip', [...inside, 'sysctl', '-qw', 'net.netfilter.nf_conntrack_acct=1', 'net.netfilter.nf_conntrack_timestamp=1']);
  switch (variant.rules) {
    case 'none': return;
    case 'conntrack': await mustRun('ip', [...inside, 'nft', '-f', '-'], { stdin: CONNTRACK }); return;
    case 'linear': await mustRun('ip', [...inside, 'nft', '-f', '-'], { stdin: linearRuleset(makePolicy(variant.policy), VNIC, variant.intervalSets === true) }); return;
    case 'ours': await mustRun('ip', [...inside, process.execPath, LOADER, JSON.stringify({ policy: variant.policy, vnics: variant.vnics })]); return;
  }
}

async function frames(variant: Variant, router: Router, path: string): Promise<void> {
  const { client, wire, vnic, server } = router.macs;
  // Established connections are few, as many as processors' caches keep; new ones come from all over the rules.
  const ends = admitted(makePolicy(variant.policy), variant.traffic === 'new' ? 4096 : 256, 7);
  const forward = ends.map(({ address, port }, index) => udpFrame({ mac: client, address, port: 10_000 + index }, { mac: wire, address: SERVER, port }));
  const reply = ends.map(({ address, port }, index) => udpFrame({ mac: server, address: SERVER, port }, { mac: vnic, address, port: 10_000 + index }));
  await writeFile(path, concatenated(variant.traffic === 'new' ? forward : [...forward, ...reply]));
}

await prepareNamespaces();
const routers = await addRouters(request.variants.length);
const specs: string[] = [];
for (const [index, variant] of request.variants.entries()) {
  const router = routers[index];
  if (router === undefined) throw new Error('a variant without a router');
  await configure(variant, router);
  const path = join(request.directory, `frames-${index}`);
  await frames(variant, router, path);
  specs.push(variant.traffic === 'new' ? `new:${router.client}:${path}:/run/netns/${router.namespace}` : `established:${router.client}:${path}:${router.server}`);
}
const { stdout } = await mustRun(join(ROOT, '.cache/bench/packet-burst'), [String(request.rounds), String(request.burst), String(request.processor), ...specs]);
const sent = Math.ceil(request.burst / 64) * 64 * (request.rounds + 1);
const arrived: number[] = [];
for (const router of routers) arrived.push(await delivered(router));
request.variants.forEach((variant, index) => {
  if ((arrived[index] ?? 0) < sent * 0.999) throw new Error(`${variant.name}: of ${sent} packets only ${arrived[index] ?? 0} came through`);
});
console.log(JSON.stringify({ times: JSON.parse(stdout), sent, arrived }));
