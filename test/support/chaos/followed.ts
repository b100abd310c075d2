/** What an agent says: whether it knows all that the store holds, and everything that it then enforces, to be compared with that of another one. */
import { AgentClient } from '../../../src/api/client.js';
import type { RulesView } from '../../../src/model/views.js';
import type { Agent } from '../agent.js';
import { mustRun } from '../command.js';
import { decode } from '../decode.js';
import type { World } from '../netns.js';
import type { Manifest } from '../policies.js';

/** Undefined: it knows just these. Else what is different. Rejects when the agent does not answer. */
export async function differs(agent: Agent, objects: ReadonlyMap<string, Manifest>): Promise<string | undefined> {
  return asked(agent, async (client) => {
    const kinds = new Set(['Pod', 'Namespace', 'Node', 'Tier', 'ClusterGroup', 'AntreaClusterNetworkPolicy', 'NetworkPolicy', 'AddressSet', 'RuleTable', 'Attachment']);
    const views = (await Promise.all([...kinds].map(async (kind) => client.get(kind)))).flat();
    const known = new Map(views.map(({ kind, namespace, name, manifest }) => [[kind, ...(namespace === undefined ? [] : [namespace]), name].join('/'), manifest as Manifest]));
    for (const [key, document] of objects) {
      const manifest = known.get(key);
      if (manifest === undefined) return `${key} is not there`;
      const [is, wanted] = [meaning(manifest), meaning(document)];
      if (is !== wanted) return `${key} is ${is}, not ${wanted}`;
    }
    for (const key of known.keys()) if (!objects.has(key)) return `${key} is still there`;
    return undefined;
  });
}

/** What it means: sources keep no more of a document, and write it in their own way. */
function meaning(document: unknown): string {
  const decoded = decode(document);
  if ('problems' in decoded) return JSON.stringify(decoded.problems);
  const { object } = decoded;
  return canonical(object.kind === 'AddressSet' ? { ...object, addresses: object.addresses.toSorted() } : object);
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => {
    return typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1))) : inner;
  });
}

/** The addresses that a rule of a rule table names, as in force at a filter. */
export async function inForce(agent: Agent, filter: string, table: string): Promise<string> {
  return asked(agent, async (client) => {
    const { rulesets } = await client.getRules(filter, false);
    return JSON.stringify(rulesets.find(({ name }) => name === table)?.rules ?? []);
  });
}

export async function asked<T>(agent: Agent, work: (client: AgentClient) => Promise<T>): Promise<T> {
  const client = await AgentClient.connect(agent.socket);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

export interface Enforced {
  /** Rules and address sets of each filter as agentctl shows them. */
  readonly rules: Readonly<Record<string, RulesView>>;
  readonly sets: Readonly<Record<string, unknown>>;
  /** Rules and elements of our tables, or flows of the bridge: sorted, without counters. */
  readonly datapath: readonly string[];
}

export async function enforced(agent: Agent, world: World): Promise<Enforced> {
  const [rules, sets] = await asked(agent, async (client) => {
    const names = (await client.getFilters()).map(({ workload }) => `${workload.namespace ?? ''}/${workload.name}`).sort();
    const each = async <T>(ask: (name: string) => Promise<T>): Promise<Record<string, T>> => Object.fromEntries(await Promise.all(names.map(async (name) => [name, await ask(name)] as const)));
    return [await each(async (name) => client.getRules(name, false)), await each(async (name) => client.getAddressSets(name))] as const;
  });
  return { rules, sets, datapath: world.ovs === undefined ? await nftLines(world.host) : (await world.ovs.ownFlows()).map(({ text }) => withoutStamps(text)).sort() };
}

/** ADR 10: when a rule came to be what it is, in seconds; part of labels and of what is written to them. */
function withoutStamps(flow: string): string {
  return flow.replace(/(ct_label=0x[0-9a-f]{1,8}0{8})[0-9a-f]{8}/, '$1stamp').replace(/set_field:0x[0-9a-f]+(\/0xf{8}0*->metadata)/g, 'set_field:stamp$1');
}

async function nftLines(netns: string): Promise<string[]> {
  const { nftables } = JSON.parse(await mustRun('ip', ['netns', 'exec', netns, 'nft', '-j', 'list', 'ruleset'])) as { nftables: Record<string, unknown>[] };
  return nftables.filter((entry) => !('metainfo' in entry)).flatMap(lines).sort();
}

/** An element is a line; a rule with those before it in its chain. */
function lines(entry: Record<string, unknown>): string[] {
  const [kind, body] = Object.entries(entry)[0] ?? ['', {}];
  const { handle: _, elem, ...rest } = body as { handle?: number; elem?: unknown[] };
  const text = `${kind} ${JSON.stringify(rest, withoutCounters)}`;
  const name = JSON.stringify({ ...rest, type: undefined, map: undefined, flags: undefined });
  return [text, ...(elem ?? []).map((element) => `element of ${name}: ${JSON.stringify(element, withoutCounters)}`)];
}

function withoutCounters(key: string, value: unknown): unknown {
  return key === 'packets' || key === 'bytes' || key === 'expires' || key === 'used' ? undefined : value;
}
