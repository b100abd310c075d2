/** `agentctl trace`: which rule decides, at which filter, from the tables in force. */
import { addressKey, type AddressKey } from '../compile/addresses.js';
import { evaluate, type TracePacket } from '../compile/evaluate.js';
import type { LabelInfo, Side } from '../compile/compiled.js';
import { AgentError } from '../model/errors.js';
import type { Filter } from '../model/filter.js';
import { hasPorts, isIcmp, protocolFromText } from '../model/protocols.js';
import type { TraceRequest, TraceStep, TraceView } from '../model/views.js';
import { findFilter, type Realized } from './realized.js';

interface End {
  /** Undefined: outside of this host's filters. */
  readonly filter: Filter | undefined;
  readonly addresses: readonly AddressKey[];
}

export function trace(request: TraceRequest, realized: Realized, failOpen: boolean): TraceView {
  const from = findEnd(request.from, realized);
  const to = findEnd(request.to, realized);
  const packet = tracePacket(request, from, to);
  const steps: TraceStep[] = [];
  for (const [filter, side] of [[from.filter, 'out'], [to.filter, 'in']] as const) {
    if (filter === undefined) continue;
    const step = judge(filter, side, packet, realized, failOpen);
    steps.push(step);
    if (step.action === 'drop') return { verdict: 'drop', steps };
    if (step.action === 'reject') return { verdict: 'reject', steps };
  }
  return { verdict: 'allow', steps };
}

function judge(filter: Filter, side: Side, packet: TracePacket, realized: Realized, failOpen: boolean): TraceStep {
  const key = realized.compilation.filterTables.get(filter.name);
  const compiled = key === undefined ? undefined : realized.compilation.tables.get(key);
  if (compiled === undefined) return { filter: filter.name, direction: side, ruleset: '', ruleId: 0, action: failOpen ? 'accept' : 'drop' };
  const label = evaluate(compiled, side, packet);
  if (label === 'guarded') return { filter: filter.name, direction: side, ruleset: 'undeclared address', ruleId: 0, action: 'drop' };
  const tables = realized.compilation.sources.get(key ?? '') ?? [];
  const policy = tables.find(({ table }) => table.metadata.name === label.table)?.table.rules.find(({ id }) => id === label.ruleId)?.policy;
  return { filter: filter.name, direction: side, ruleset: rulesetName(label), ruleId: label.ruleId, action: label.action, ...(policy === undefined ? {} : { policy }) };
}

function rulesetName(label: LabelInfo): string {
  return label.table === '' ? 'default' : label.table;
}

/** A workload of this host (by any name a filter goes by), one of its addresses, or an address elsewhere. */
function findEnd(text: string, realized: Realized): End {
  const { filters } = realized.world;
  const address = addressKey(text);
  if (address !== undefined) {
    const owner = filters.find((filter) => filter.addresses.some((own) => sameAddress(addressKey(own), address)));
    return { filter: owner, addresses: [address] };
  }
  const at = text.lastIndexOf('@');
  // "address@filter": any source address, also one that the filter's attachment does not declare.
  if (at > 0) {
    const spoofed = addressKey(text.slice(0, at));
    if (spoofed !== undefined) return { filter: findFilter(filters, text.slice(at + 1)), addresses: [spoofed] };
  }
  const filter = findFilter(filters, text);
  const addresses = filter.addresses.flatMap((own) => addressKey(own) ?? []);
  if (addresses.length === 0) {
    throw new AgentError('E_INVALID', `${filter.name} has no address: name one as ADDRESS@${filter.interface}`, { object: text });
  }
  return { filter, addresses };
}

function sameAddress(a: AddressKey | undefined, b: AddressKey): boolean {
  return a !== undefined && a.family === b.family && a.key === b.key;
}

function tracePacket(request: TraceRequest, from: End, to: End): TracePacket {
  const protocol = request.protocol ?? (request.destinationPort !== undefined ? 'tcp' : 'icmp');
  let number = protocolFromText(protocol);
  if (number === undefined || number === 'any') throw new AgentError('E_USAGE', `"${protocol}" is no protocol`, { object: 'protocol' });
  const pair = from.addresses.flatMap((source) => to.addresses.filter((other) => other.family === source.family).map((destination) => ({ source, destination })))[0];
  if (pair === undefined) throw new AgentError('E_INVALID', `${request.from} and ${request.to} have no address of one family`, { object: request.to });
  // "icmp" between IPv6 addresses means ICMPv6 echo.
  if (request.protocol === undefined && number === 1 && pair.source.family === 6) number = 58;
  const echo = number === 58 ? 128 : 8;
  const port = isIcmp(number)
    ? (request.icmpType ?? echo) * 256 + (request.icmpCode ?? 0)
    : hasPorts(number) ? (request.destinationPort ?? 0) : 0;
  return { ...pair, protocol: number, sourcePort: hasPorts(number) ? (request.sourcePort ?? 40_000) : 0, port };
}
