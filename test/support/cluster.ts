/**
 * A Kubernetes node as policies see it, in network namespaces: pods behind veth pairs of a host where the agent runs, an
 * "outside" that is the other Node, and a probe of who reaches whom. The cluster's objects are two files of the agent's
 * manifests directory: inventory.yaml and policies.yaml.
 *
 * Every pod serves TCP and UDP on SERVED_PORTS over both families and answers pings; so do host and outside.
 */
import type { AgentClient } from '../../src/api/client.js';
import { Agent } from './agent.js';
import { Inventory, type ClusterPod, type NamespaceSpec, type PodSpec } from './inventory.js';
import { createWorld, HOST_IPV4, HOST_IPV6, OUTSIDE_IPV4, OUTSIDE_IPV6, type World, type WorldWorkload } from './netns.js';
import type { Manifest } from './policies.js';
import { PATIENCE } from './patience.js';
import { observation, startProbe, type Probe, type ProbePacket, type ProbeResult } from './probe/probe.js';
import { startReach, type Check, type Reach, type ReachProtocol, type Verdict } from './probe/reach.js';
import { Reachability } from './reachability.js';

export const SERVED_PORTS: readonly number[] = [80, 81, 8080, 8081, 8082];
/** Served by host and outside. */
export const NODE_PORTS: readonly number[] = [6443];
export const HOST = 'host';
export const OUTSIDE = 'outside';
/** The host without a choice of its source address: what local agents of a node send with. */
export const KUBELET = 'kubelet';

export interface ClusterOptions {
  readonly namespaces: readonly NamespaceSpec[];
  readonly pods: readonly PodSpec[];
  readonly config?: Readonly<Record<string, unknown>>;
  readonly servedPorts?: readonly number[];
}

/** What is tried, at every pod of a matrix. */
export interface Kind {
  readonly protocol: ReachProtocol | 'sctp';
  readonly port: number;
  readonly sourcePort?: number;
}
export const tcp = (port: number): Kind => ({ protocol: 'tcp', port });
export const udp = (port: number): Kind => ({ protocol: 'udp', port });
export const ping: Kind = { protocol: 'icmp', port: 0 };
/** An INIT chunk that arrives counts as connected: filters need no SCTP sockets in the kernel, and most test kernels have none. */
export const sctp = (port: number): Kind => ({ protocol: 'sctp', port });

/** A contact; `from` is a pod, HOST, KUBELET or OUTSIDE. */
export interface Contact extends Kind {
  readonly from: string;
  readonly address: string;
  readonly expected: Verdict;
}
interface Difference { readonly contact: Contact; readonly got: Verdict }

const SCTP_NUMBER = 132;
const DIFFERENCES_SHOWN = 20;
const DIFFERENCES_TRACED = 3;

/** Antrea's test cluster: Namespaces x, y, z (label ns) with pods a, b, c each (label pod), whose ports have names. */
export function nine(): ClusterOptions {
  const ports = [80, 81].flatMap((containerPort) => [
    { name: `serve-${containerPort}`, containerPort, protocol: 'TCP' }, { name: `serve-${containerPort}-udp`, containerPort, protocol: 'UDP' },
  ]);
  const namespaces = ['x', 'y', 'z'];
  return {
    namespaces: namespaces.map((name) => ({ name, labels: { ns: name } })),
    pods: namespaces.flatMap((namespace) => ['a', 'b', 'c'].map((name) => ({ namespace, name, labels: { pod: name }, ports }))),
  };
}

function placed(spec: PodSpec, workload: WorldWorkload): ClusterPod {
  const { netns, mac, ipv4, ipv6 } = workload;
  return { ...spec, reference: `${spec.namespace}/${spec.name}`, netns, interface: workload.interface, mac, ipv4, ipv6 };
}

export class Cluster {
  private packets: Promise<Probe> | undefined;
  private sctpPort = 40_000;
  private policyCount = 0;

  private constructor(
    readonly world: World, readonly agent: Agent, readonly client: AgentClient, readonly inventory: Inventory,
    private readonly reach: Reach, private readonly servedPorts: readonly number[],
  ) {}

  /** The agent runs and enforces the inventory; no policy yet. Everything ends with close(). */
  static async create(options: ClusterOptions): Promise<Cluster> {
    const { namespaces, pods, config, servedPorts = SERVED_PORTS } = options;
    const world = await createWorld({ workloads: pods.map((pod, index) => ({ name: `${pod.namespace}/${pod.name}`, interface: `pod${index}` })), outside: true });
    try {
      const inventory = new Inventory(namespaces, pods.map((pod) => placed(pod, world.workload(`${pod.namespace}/${pod.name}`))));
      const manifests = { 'inventory.yaml': inventory.manifests(), 'policies.yaml': [] };
      const [agent, reach] = await Promise.all([Agent.run(world, { manifests, ...(config === undefined ? {} : { config }) }), startReach(world)]);
      const cluster = new Cluster(world, agent, await agent.client(), inventory, reach, servedPorts);
      for (const pod of inventory.pods) await cluster.serve(pod);
      await reach.endpoint(KUBELET, world.host);
      for (const [name, netns, ipv4, ipv6] of [[HOST, world.host, HOST_IPV4, HOST_IPV6], [OUTSIDE, world.outside ?? '', OUTSIDE_IPV4, OUTSIDE_IPV6]] as const) {
        await reach.endpoint(name, netns, { ipv4, ipv6 });
        for (const address of [ipv4, ipv6]) for (const protocol of ['tcp', 'udp'] as const) await reach.listen(name, protocol, NODE_PORTS, address);
      }
      return cluster;
    } catch (error) {
      await world.close();
      throw error;
    }
  }

  close(): Promise<void> {
    return this.world.close();
  }

  pod(reference: string): ClusterPod {
    return this.inventory.pod(reference);
  }

  // --- objects -------------------------------------------------------------------------------------------------------

  /** These policies (and tiers, groups) and no others, in force when it returns; rejects when one is refused or held. */
  async policies(...manifests: readonly Manifest[]): Promise<void> {
    await this.writePolicies(...manifests);
    await this.sync();
  }

  /** Writes them and waits for nothing. */
  async writePolicies(...manifests: readonly Manifest[]): Promise<void> {
    this.policyCount = manifests.length;
    await this.agent.write('policies.yaml', manifests);
  }

  /** Takes the place of the Namespace's labels and annotations. */
  async namespace(namespace: NamespaceSpec): Promise<void> {
    this.inventory.setNamespace(namespace);
    await this.writeInventory();
  }

  async podLabels(reference: string, labels: Readonly<Record<string, string>>): Promise<void> {
    this.inventory.setPod({ ...this.pod(reference), labels });
    await this.writeInventory();
  }

  /** Services and other objects that are neither Namespace, Node nor Pod; these and no others. */
  async objects(...manifests: readonly Manifest[]): Promise<void> {
    this.inventory.setOthers(manifests);
    await this.writeInventory();
  }

  /** A pod that was not there: its namespace, veth pair and servers, then its objects. It is in every later matrix until reset(). */
  async addPod(spec: PodSpec): Promise<ClusterPod> {
    const name = `${spec.namespace}/${spec.name}`;
    const known = this.world.workloads.find((one) => one.name === name);
    const pod = placed(spec, known ?? (await this.world.addWorkload({ name, interface: `pod${this.world.workloads.length}` })));
    if (known === undefined) {
      await this.serve(pod);
      this.packets = undefined; // its probe knows the pods it was started with
    }
    this.inventory.setPod(pod);
    await this.writeInventory();
    return pod;
  }

  /** No policies, and the inventory as it was made. */
  async reset(): Promise<void> {
    const changed = this.inventory.reset();
    if (!changed && this.policyCount === 0) return;
    if (changed) await this.agent.write('inventory.yaml', this.inventory.manifests());
    await this.policies();
  }

  /** What `agentctl sync` does, without the start of a process for every step of a test. */
  async sync(): Promise<void> {
    const { realized, errors } = await this.client.sync(20_000 * PATIENCE);
    if (!realized || errors.length > 0) throw new Error(`not in force: ${JSON.stringify(errors)}\n${await this.agent.tail()}`);
  }

  private async writeInventory(): Promise<void> {
    await this.agent.write('inventory.yaml', this.inventory.manifests());
    await this.sync();
  }

  private async serve(pod: ClusterPod): Promise<void> {
    await this.reach.endpoint(pod.reference, pod.netns);
    await this.reach.listen(pod.reference, 'tcp', this.servedPorts);
    await this.reach.listen(pod.reference, 'udp', this.servedPorts);
  }

  // --- traffic -------------------------------------------------------------------------------------------------------

  /** A matrix of all pods, to be made precise with set(). */
  all(verdict: Verdict): Reachability {
    return new Reachability(this.inventory.pods.map((pod) => pod.reference), verdict);
  }

  /** Every pair of pods, over both families, for every kind of every matrix; all at once. Throws with the pairs that differ. */
  async expectReach(...cases: readonly (readonly [Reachability, ...Kind[]])[]): Promise<void> {
    await this.expectContacts(cases.flatMap(([reachability, ...kinds]) => kinds.flatMap((kind) => reachability.pairs().flatMap(({ from, to, expected }) => {
      const { ipv4, ipv6 } = this.pod(to);
      return [ipv4, ipv6].map((address): Contact => ({ ...kind, from, address, expected }));
    }))));
  }

  /** To both addresses of a pod. */
  toPod(from: string, to: string, kind: Kind, expected: Verdict): Contact[] {
    const { ipv4, ipv6 } = this.pod(to);
    return [ipv4, ipv6].map((address) => ({ ...kind, from, address, expected }));
  }

  /** All at once; throws with those that differ, and what trace says of the first of them. */
  async expectContacts(contacts: readonly Contact[]): Promise<void> {
    const verdicts = await this.verdicts(contacts);
    const differences = contacts.flatMap((contact, index): Difference[] => {
      const got = verdicts[index] ?? 'Drp';
      return got === contact.expected ? [] : [{ contact, got }];
    });
    if (differences.length === 0) return;
    const traced = await Promise.all(differences.slice(0, DIFFERENCES_TRACED).map(({ contact }) => this.trace(contact)));
    throw new Error([
      `${differences.length} of ${contacts.length} contacts differ`,
      ...differences.slice(0, DIFFERENCES_SHOWN).map(({ contact, got }) => `  ${this.describe(contact)}: ${got}, expected ${contact.expected}`),
      ...traced,
    ].join('\n'));
  }

  /** What became of each. */
  async verdicts(contacts: readonly Contact[]): Promise<Verdict[]> {
    const plain = contacts.filter((contact) => contact.protocol !== 'sctp');
    const checks = plain.map((contact): Check => ({ ...contact, protocol: contact.protocol as ReachProtocol }));
    const [answers, sctpAnswers] = [await this.reach.probe(checks), await this.sctpVerdicts(contacts.filter((contact) => contact.protocol === 'sctp'))];
    return contacts.map((contact) => (contact.protocol === 'sctp' ? sctpAnswers : answers).shift() ?? 'Drp');
  }

  private async sctpVerdicts(contacts: readonly Contact[]): Promise<Verdict[]> {
    if (contacts.length === 0) return [];
    this.packets ??= startProbe(this.world);
    const probe = await this.packets;
    const packets = contacts.map((contact): ProbePacket => {
      const family = contact.address.includes(':') ? 6 : 4;
      const source = family === 4 ? this.pod(contact.from).ipv4 : this.pod(contact.from).ipv6;
      this.sctpPort = this.sctpPort === 60_000 ? 40_000 : this.sctpPort + 1;
      return { from: contact.from, family, protocol: SCTP_NUMBER, source, destination: contact.address, sourcePort: this.sctpPort, destinationPort: contact.port };
    });
    const verdicts = (results: readonly ProbeResult[]): Verdict[] => results.map((result) => ({ delivered: 'Con', refused: 'Rej', silent: 'Drp' } as const)[observation(result)]);
    const first = verdicts(await probe.send(packets, 40));
    // What went missing is asked for again with more patience: a busy machine is no filter.
    const missing = packets.filter((_, index) => first[index] === 'Drp' && contacts[index]?.expected !== 'Drp');
    const second = missing.length === 0 ? [] : verdicts(await probe.sendAgain(missing, 300));
    return packets.map((packet, index) => (missing.includes(packet) ? second.shift() : first[index]) ?? 'Drp');
  }

  private describe({ protocol, port, from, address, sourcePort }: Contact): string {
    const to = this.inventory.pods.find((pod) => pod.ipv4 === address || pod.ipv6 === address)?.reference;
    const source = sourcePort === undefined ? '' : ` (source port ${sourcePort})`;
    return `${protocol}${protocol === 'icmp' ? '' : `/${port}`}${source} ${from} -> ${to === undefined ? address : `${to} ${address}`}`;
  }

  private async trace(contact: Contact): Promise<string> {
    const pod = this.inventory.pods.find(({ reference }) => reference === contact.from);
    if (pod === undefined) return '';
    const source = contact.address.includes(':') ? pod.ipv6 : pod.ipv4;
    const view = await this.client.trace({
      from: `${source}@${pod.interface}`, to: contact.address, protocol: contact.protocol === 'icmp' && contact.address.includes(':') ? 'ipv6-icmp' : contact.protocol,
      ...(contact.protocol === 'icmp' ? { icmpType: contact.address.includes(':') ? 128 : 8, icmpCode: 0 } : { destinationPort: contact.port }),
    }).catch((error: unknown) => ({ verdict: String(error), steps: [] }));
    const steps = view.steps.map((step) => `${step.filter} ${step.direction} ${step.ruleset}/${step.ruleId} ${step.action}`);
    return `  trace of ${this.describe(contact)}: ${view.verdict} (${steps.join('; ')})`;
  }
}
