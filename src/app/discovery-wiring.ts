/** Workloads that are found on this host, not declared: each discovery is a source of desired state behind those that declare, and each can be switched off. */
import { join } from 'node:path';
import { CniAttachments } from '../discovery/cni-attachments.js';
import { LibvirtDirectory } from '../discovery/libvirt-files.js';
import { LibvirtMachines } from '../discovery/libvirt-machines.js';
import { OwnNode } from '../discovery/own-node.js';
import { OvsPorts, type PortFeed } from '../discovery/ovs-ports.js';
import { PodRoutes, type DeclaringSource } from '../discovery/pod-routes.js';
import type { DesiredObject } from '../model/objects.js';
import { canonicalHost } from '../model/address.js';
import type { LinkSocket, NativeBinding } from '../native/binding.js';
import { writeFileAtomic } from '../platform/atomic-file.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import { readTextFile } from '../platform/read-file.js';
import type { TextStore } from '../discovery/kept-text.js';
import type { Source } from '../sources/source.js';
import type { Config } from './config.js';
import { DISCOVERY_SOURCE, type NamedSource } from './desired.js';
import { isOfDiscovery, RelevantObjects } from './relevant-objects.js';

export interface DiscoveryParts {
  /** In their order: what an earlier one says of an interface stands. To be started when the declaring sources have. */
  readonly sources: readonly NamedSource[];
  /** What is not as it should be. */
  readonly problems: () => readonly string[];
  /** Pods that a container runtime tells of; undefined when nobody listens for it. */
  readonly containers: CniAttachments | undefined;
  /** Interfaces came, went or changed. */
  readonly linksChanged: () => void;
}

export interface DiscoveryWiring {
  readonly config: Config;
  readonly native: Pick<NativeBinding, 'RouteSocket' | 'AddressSocket'>;
  readonly links: LinkSocket;
  /** Sources that declare; they stand before what is found. */
  readonly declared: readonly NamedSource[];
  /** Of the Open vSwitch datapath. */
  readonly ports: PortFeed | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

export function wireDiscovery({ config, native, links, declared, ports, clock, log }: DiscoveryWiring): DiscoveryParts {
  const found: NamedSource[] = [];
  const problems: (() => readonly string[])[] = [];
  const store = (name: string): TextStore => {
    const file = join(config.stateDir, name);
    return { read: () => readTextFile(file), write: (text) => writeFileAtomic(file, text) };
  };
  const indexes = new Map(declared.map(({ source }) => [source, new RelevantObjects(source, isOfDiscovery(config.node))]));
  const before = (): Source[] => [...declared, ...found].map(({ source }) => source);
  const objectsOf = (source: Source): ReadonlyMap<string, DesiredObject> => indexes.get(source)?.objects ?? source.snapshot().objects;

  const containers = config.cni.socket === '' ? undefined : buildContainers();
  if (containers !== undefined) {
    found.push({ name: 'cni', source: containers });
    problems.push(() => containers.problems);
  }
  // Before the switch's ports: those of virtual machines name them by uuid.
  if (config.discovery.libvirt !== '') {
    const others = before();
    const source = new LibvirtMachines({
      files: new LibvirtDirectory(config.discovery.libvirt), declared: () => others.map(objectsOf), store: store('libvirt.json'), clock, log,
    });
    found.push({ name: 'libvirt', source });
    problems.push(() => source.problems);
  }
  if (ports !== undefined && config.ovs.discoverPorts) {
    const others = before();
    const source = new OvsPorts({ feed: ports, declared: () => others.map(objectsOf), store: store('ports.json'), clock, log });
    found.push({ name: DISCOVERY_SOURCE, source });
    problems.push(() => source.problems);
  }
  // A switch's ports are bound by their names there, and told by OvsPorts.
  if (config.discovery.pods && config.datapath === 'nftables') {
    const reader = new native.RouteSocket();
    const source = new PodRoutes({
      node: config.node, sources: before().map(declaring), store: store('pods.json'), clock, log,
      reader: {
        lookup: (addresses) => reader.lookup(addresses), neighbours: (addresses) => reader.neighbours(addresses), forwarding: (macs) => reader.forwarding(macs),
        links: () => links.list(), monitor: (listener) => reader.monitor(listener), close: () => reader.close(),
      },
    });
    found.push({ name: 'pods', source });
    problems.push(() => source.problems);
  }
  if (config.discovery.node.enabled) {
    const source = buildNode();
    found.push({ name: 'node', source });
    problems.push(() => source.problems);
  }
  return { sources: found, containers, problems: () => problems.flatMap((each) => some(each())), linksChanged: () => containers?.linksChanged() };

  function declaring(source: Source): DeclaringSource {
    return {
      get synced() {
        return source.synced;
      },
      snapshot: () => ({ objects: objectsOf(source) }),
      onChange: (listener) => source.onChange(listener),
    };
  }

  function buildNode(): OwnNode {
    const { node, discovery: { node: { labels, addresses } } } = config;
    const routes = new native.AddressSocket();
    return new OwnNode({
      name: node, labels: { [HOSTNAME_LABEL]: node, ...labels }, addresses: addresses.map(canonicalHost), store: store('node.json'), clock, log, close: () => routes.close(),
      source: async (family) => {
        const way = await routes.routeTo(FAR_AWAY[family]);
        return way === undefined || way.type === 'other' || way.source === '' || way.source.startsWith('fe80:') ? undefined : way.source;
      },
    });
  }

  function buildContainers(): CniAttachments {
    return new CniAttachments({
      store: store('containers.json'), declared: () => declared.map(({ source }) => objectsOf(source)), clock, log,
      interfaces: async () => new Set((await links.list()).map(({ name }) => name)),
    });
  }
}

/** As a kubelet gives it (Kubernetes, well-known labels). */
const HOSTNAME_LABEL = 'kubernetes.io/hostname';
/** Only looked up, never sent to: the dummy address of RFC 7600, and one for documentation of RFC 9637. Nobody has a route of its own for them. */
const FAR_AWAY = { 4: '192.0.0.8', 6: '3fff::1' } as const;
const MOST_LINES = 20;

/** A status that is read: the first of many stand for all. */
export function some(lines: readonly string[]): readonly string[] {
  return lines.length <= MOST_LINES ? lines : [...lines.slice(0, MOST_LINES), `${lines.length - MOST_LINES} more are not bound as they should be`];
}
