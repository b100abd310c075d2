/** Puts together what a host without a switch needs: the kernel's tables, who answers what bridges refuse, and the copies of DNS replies. */
import { writeFile } from 'node:fs/promises';
import type { FrameReader } from '../discovery/addresses/learned-addresses.js';
import { BridgeDriver } from '../drivers/nftables/bridge-driver.js';
import { REFUSED_SNAP_LENGTH } from '../drivers/nftables/bridge-layout.js';
import { DnsDriver } from '../drivers/nftables/dns-driver.js';
import { NftablesDriver } from '../drivers/nftables/driver.js';
import { INET } from '../drivers/nftables/inet-layout.js';
import { LEARN_SNAP_LENGTH } from '../drivers/nftables/learn-layout.js';
import { NetdevDriver } from '../drivers/nftables/netdev-driver.js';
import { ReturnPathDriver } from '../drivers/nftables/return-paths.js';
import { closeUnknown } from '../drivers/nftables/unknown-interfaces.js';
import type { Filter } from '../model/filter.js';
import type { FlowTable, Link, LinkSocket, NativeBinding, NftSocket } from '../native/binding.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import { readTextFile } from '../platform/read-file.js';
import type { Config } from './config.js';
import { idsDevices } from './ids-devices.js';
import { KernelFrames } from './kernel-frames.js';
import { KernelReplies } from './kernel-replies.js';
import { MirrorTunnels } from './mirror-tunnels.js';
import { NftablesEnforcement } from './nftables-enforcement.js';
import { RefusedFrames } from './refused-frames.js';
import type { ReplyReader, ReplyWatch } from './reply-watch.js';
import type { DatapathState } from './status.js';

export interface NftablesParts {
  readonly enforcement: NftablesEnforcement;
  readonly watch: ReplyWatch;
  readonly replies: ReplyReader;
  /** Frames that tell addresses. */
  readonly frames: FrameReader;
  readonly state: () => Promise<DatapathState>;
  /** Ends what was started; everything stays enforced. */
  readonly stop: () => void;
}

export interface NftablesWiring {
  readonly config: Config;
  readonly native: NativeBinding;
  readonly nft: NftSocket;
  readonly linkSocket: LinkSocket;
  readonly flows: FlowTable;
  readonly clock: Clock;
  readonly log: Logger;
  /** The IDS engine runs and answers. */
  readonly inspecting: () => boolean;
  /** Are addresses of the filter's vNIC learned? */
  readonly learns: (filter: Pick<Filter, 'attachment'>) => boolean;
  /** Called when another apply is due. */
  readonly onDue: () => void;
  /** Interfaces of the host, by name. */
  readonly links: () => ReadonlyMap<string, Link>;
  /** In force. */
  readonly filters: () => readonly Filter[];
}

/** There while br_netfilter is loaded. */
const BRIDGE_NETFILTER = '/proc/sys/net/bridge/bridge-nf-call-iptables';

export function wireNftables(wiring: NftablesWiring): NftablesParts {
  const { config, native, nft: socket, flows, clock, log } = wiring;
  const answers = buildAnswers(wiring);
  const { nflogGroup: logGroup } = config;
  const returnPaths = new native.ReturnPaths();
  // Whoever watches for changes of others must not take ours for theirs.
  const onCommit = (generation: number): void => enforcement.committedElsewhere(generation);
  const enforcement: NftablesEnforcement = new NftablesEnforcement({
    // Established packets are spared.
    driver: new NftablesDriver({ socket, log: log.child('nftables'), logGroup, onCommit, dialect: closeUnknown(INET, config.cni.interfaces, 1) }),
    bridge: new BridgeDriver({ socket, log: log.child('bridge'), clock, logGroup, answerGroup: config.bridge.nflogGroup, unknown: config.cni.interfaces, onCommit }),
    netdev: new NetdevDriver({ socket, log: log.child('netdev') }),
    tunnels: new MirrorTunnels({ links: wiring.linkSocket, log: log.child('tunnels'), clock, writeSysctl: (path, value) => writeFile(path, value), onDue: wiring.onDue }),
    answers, flows, clock, log: log.child('datapath'), logGroup, sensors: idsDevices(config).map(({ engine }) => engine),
    returns: new ReturnPathDriver({ kernel: returnPaths, mark: config.ids.returnedMark, log: log.child('netdev') }), returnedMark: config.ids.returnedMark,
    spoofGuard: { mode: config.spoofGuard, learns: wiring.learns }, learnGroup: config.ipDiscovery.nflogGroup, inspecting: wiring.inspecting, onDue: wiring.onDue,
  });
  return {
    enforcement,
    watch: new DnsDriver({ socket, log: log.child('dns'), logGroup: config.dns.nflogGroup, onCommit }),
    replies: new KernelReplies(new native.NflogReader({ group: config.dns.nflogGroup, copyRange: 65_535 }), new native.PacketSender()),
    frames: new KernelFrames(new native.NflogReader({ group: config.ipDiscovery.nflogGroup, copyRange: LEARN_SNAP_LENGTH, atOnce: true }), wiring.links),
    state: () => Promise.resolve(enforcement.state(readTextFile(BRIDGE_NETFILTER) !== undefined)),
    stop: () => {
      answers.stop();
      returnPaths.close();
    },
  };
}

function buildAnswers({ config, native, log, links, filters }: NftablesWiring): RefusedFrames {
  const linkOf = (index: number): Link | undefined => [...links().values()].find((link) => link.index === index);
  return new RefusedFrames({
    reader: new native.NflogReader({ group: config.bridge.nflogGroup, copyRange: REFUSED_SNAP_LENGTH, atOnce: true }), sender: new native.PacketSender(),
    ownerOf: (index) => {
      const name = linkOf(index)?.name;
      return filters().find((filter) => filter.interface === name);
    },
    bridgeOf: (index) => linkOf(index)?.master ?? 0, log: log.child('bridge'),
  });
}
