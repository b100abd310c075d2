/** Port lists of policies as rows of what a rule matches. */
import type { PolicyPort } from '../../model/policy-objects.js';
import type { PortRange } from '../../model/rule.js';
import { normalizePorts } from '../../model/rule-check.js';
import type { Service } from './ir.js';

/**
 * One row for all numbers of a protocol (with equal source ports), one for each name; in order of first appearance. A protocol
 * without a port takes all its ports, a source port alone any destination port. Empty stays empty: what that means is the caller's.
 */
export function portServices(ports: readonly PolicyPort[]): Service[] {
  const rows = new Map<string, { readonly port: PolicyPort; readonly ranges: PortRange[]; all: boolean }>();
  for (const port of ports) {
    const name = typeof port.port === 'string' ? port.port : undefined;
    const key = JSON.stringify([port.protocol, port.sourcePort, port.sourceEndPort, name]);
    const row = rows.get(key) ?? { port, ranges: [], all: false };
    rows.set(key, row);
    if (typeof port.port === 'number') row.ranges.push({ first: port.port, last: port.endPort ?? port.port });
    else row.all = true;
  }
  return [...rows.values()].map(({ port, ranges, all }) => {
    const sourcePorts = sourceRange(port);
    if (typeof port.port === 'string') return { namedPort: port.port, protocol: port.protocol, sourcePorts };
    return { protocol: port.protocol, ports: all ? [] : normalizePorts(ranges), sourcePorts };
  });
}

function sourceRange({ sourcePort, sourceEndPort }: PolicyPort): PortRange[] {
  return sourcePort === undefined ? [] : [{ first: sourcePort, last: sourceEndPort ?? sourcePort }];
}
