/**
 * Names of the Attachments of ports. Filter numbers are kept by them, so a port that is plugged in again, or comes back under another
 * name (a switch cannot rename: it removes and adds), has the name it had. Pure.
 */
import { hash32 } from '../model/text-hash.js';

export interface PortIdentity {
  /** As the switch calls it; no two have the same. */
  readonly port: string;
  /** What it is, whatever it is called: the workload, and which of its interfaces. */
  readonly identity: string;
}

export interface NamedPort extends PortIdentity {
  readonly attachment: string;
}

/** So many ports that went are remembered. */
const REMEMBERED = 1_000;

/**
 * A name for each port, all different, none of them `taken`: the one it had, else the one that its identity had last as another port, else a new
 * one, `ovs-PORT`. `known` is the result before this one; in the result, ports that went come first, the latest of them last, then `ports` in their order.
 */
export function namePorts(ports: readonly PortIdentity[], known: readonly NamedPort[], taken: ReadonlySet<string>): readonly NamedPort[] {
  const used = new Set(taken);
  const names = new Map<string, string>();
  const give = (port: string, name: string | undefined): void => {
    if (name === undefined || used.has(name) || names.has(port)) return;
    used.add(name);
    names.set(port, name);
  };
  const present = new Set(ports.map(key));
  const had = new Map(known.map((entry) => [key(entry), entry.attachment]));
  for (const entry of ports) give(entry.port, had.get(key(entry)));
  const last = new Map(known.filter((entry) => !present.has(key(entry))).map(({ identity, attachment }) => [identity, attachment]));
  for (const { port, identity } of ports) give(port, last.get(identity));
  for (const { port, identity } of ports) {
    const plain = `ovs-${port.replaceAll(/[^A-Za-z0-9._:-]/g, '_')}`;
    give(port, plain);
    for (let next = 0; !names.has(port); next++) give(port, `${plain}-${(hash32(identity, next) >>> 0).toString(16)}`);
  }
  const gone = known.filter((entry) => !present.has(key(entry)) && !used.has(entry.attachment)).slice(-REMEMBERED);
  return [...gone, ...ports.map(({ port, identity }) => ({ port, identity, attachment: names.get(port) ?? '' }))];
}

const key = ({ port, identity }: PortIdentity): string => JSON.stringify([port, identity]);
