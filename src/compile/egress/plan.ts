/** What this node has to do for the Egresses: whom it translates, whom it sends on, and to whom. Pure. */
import type { NodeObject } from '../../model/objects.js';
import type { Bandwidth } from '../../model/policy-objects.js';
import type { EgressSelection } from './inventory.js';

export interface EgressPlan {
  /** Addresses that leases decide on. */
  readonly addresses: readonly string[];
  /** Pod → address that it leaves with, by this node. */
  readonly translate: ReadonlyMap<string, string>;
  /** Address → what may leave with it. */
  readonly limits: ReadonlyMap<string, Bandwidth>;
  /** Local pod → host that has its address; undefined: nobody has. */
  readonly away: ReadonlyMap<string, string | undefined>;
  /** Pod of another node → that node's host, where replies go. */
  readonly back: ReadonlyMap<string, string>;
  /** Prefixes that packets go to untouched. */
  readonly except: readonly string[];
  /** Hosts that may send through the tunnel. */
  readonly nodes: readonly string[];
}

export interface EgressSituation {
  readonly node: string;
  /** Is the pod on this node? */
  readonly isLocal: (pod: { readonly namespace: string; readonly name: string; readonly nodeName: string | undefined }) => boolean;
  /** Address → node and host that have it. */
  readonly holders: ReadonlyMap<string, { readonly node: string; readonly endpoint: string }>;
  /** Node → host. */
  readonly endpoints: ReadonlyMap<string, string>;
  /** Prefixes of the configuration. */
  readonly except: readonly string[];
  /** Addresses that somebody else puts on an interface, for ever: no lease ends their use. */
  readonly fixed: ReadonlySet<string>;
}

/** Not for the world outside: this host and link, and many at once (RFC 6890, RFC 4291). */
const NEVER = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3', '::/127', 'fe80::/10', 'ff00::/8'];

export function egressPlan(selection: EgressSelection, situation: EgressSituation): EgressPlan {
  const { node, isLocal, holders, endpoints, fixed } = situation;
  const translate = new Map<string, string>();
  const away = new Map<string, string | undefined>();
  const back = new Map<string, string>();
  for (const { pod, address, from } of selection.pods) {
    const { metadata: { name, namespace = 'default' }, nodeName } = pod;
    const local = isLocal({ namespace, name, nodeName });
    const holder = holders.get(address);
    for (const source of from) {
      if (holder?.node === node) {
        translate.set(source, address);
        const host = local || nodeName === undefined ? undefined : endpoints.get(nodeName);
        if (host !== undefined && host !== '') back.set(source, host);
      } else if (local) away.set(source, holder === undefined || holder.endpoint === '' ? undefined : holder.endpoint);
    }
  }
  const hosts = [...new Set([...selection.nodes.flatMap(({ addresses }) => addresses), ...[...endpoints.values()].filter((host) => host !== '')])].sort();
  return {
    limits: new Map(selection.egresses.flatMap(({ metadata, bandwidth }): [string, Bandwidth][] => {
      const address = selection.allocation.addresses.get(metadata.name);
      return bandwidth === undefined || address === undefined || holders.get(address)?.node !== node ? [] : [[address, bandwidth]];
    })),
    addresses: [...new Set(selection.allocation.addresses.values())].filter((address) => !fixed.has(address)).sort(), translate, away, back, nodes: hosts,
    except: [...new Set([...NEVER, ...situation.except, ...hosts, ...selection.nodes.flatMap(podRanges)])].sort(),
  };
}

function podRanges({ podCidrs }: NodeObject): readonly string[] {
  return podCidrs ?? [];
}
