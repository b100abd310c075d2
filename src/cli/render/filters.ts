/** Filters as `vsipioctl getfilters` and `summarize-dvfilter` print them: scripts that read those read these. */
import type { FilterView } from '../../model/views.js';
import type { WorkloadReference } from '../../model/objects.js';
import { printable } from './printable.js';

const KEY_WIDTH = 25;

/** "namespace/name" of a pod, the name of anything else. */
export function workloadName(workload: WorkloadReference): string {
  return workload.namespace === undefined ? workload.name : `${workload.namespace}/${workload.name}`;
}

/** Blocks of "Key : value" with an empty line between them; the hash comes last (`grep HASH -B 12` finds a filter). */
export function filtersText(filters: readonly FilterView[]): string {
  return filters.map(filterText).join('\n');
}

export function filterText(filter: FilterView): string {
  return keyed([
    ['Filter Name', filter.name],
    ['Workload', `${filter.workload.kind} ${workloadName(filter.workload)}`],
    ['VNIC', filter.vnic],
    ['Interface', filter.interface],
    ['MAC Address', filter.mac],
    ['IP Addresses', filter.addresses.join(', ')],
    ['Slot', String(filter.slot)],
    ['Agent Name', filter.agentName],
    ['Datapath', filter.datapath],
    ['State', filter.state],
    ['Failure Policy', filter.failurePolicy],
    ['Service Profile', '--NOT SET--'],
    ['Filter Rule Config', filter.rulesets.length > 0 ? 'configured' : 'not configured'],
    ['Rulesets', filter.rulesets.join(', ')],
    ['Generation', `${filter.generation}${filter.realized ? '' : ' (not realized)'}`],
    ['Filter Hash', String(filter.hash)],
  ]);
}

export function keyed(rows: readonly (readonly [string, string])[]): string {
  return rows.map(([key, value]) => `${key.padEnd(KEY_WIDTH)}: ${printable(value) || '-'}\n`).join('');
}

/**
 * The nesting of ESXi's summarize-dvfilter: world (workload), port, slot, filter. The world number is the one in the
 * filter's name; the port is the host interface. `uuids` maps workloadName() to the UUID of those that have one.
 */
export function dvfilterText(filters: readonly FilterView[], uuids: ReadonlyMap<string, string>): string {
  const worlds = new Map<string, FilterView[]>();
  for (const filter of filters) {
    const key = `${filter.workload.kind}/${workloadName(filter.workload)}`;
    worlds.set(key, [...(worlds.get(key) ?? []), filter]);
  }
  const agents = [...new Set(filters.map((filter) => `${filter.agentName}|${filter.datapath}`))].map((pair) => {
    const [agent = '', module = ''] = pair.split('|');
    const count = filters.filter((filter) => filter.agentName === agent && filter.datapath === module).length;
    return `agent: ${agent}, refCount: ${count}, module: ${module}\n`;
  });
  return `Fastpaths:\n${agents.join('')}Slowpaths:\nFilters:\n${[...worlds.values()].map((world) => worldText(world, uuids)).join('')}`;
}

function worldText(filters: readonly FilterView[], uuids: ReadonlyMap<string, string>): string {
  const [first] = filters;
  if (first === undefined) return '';
  const name = workloadName(first.workload);
  const uuid = uuids.get(name);
  const head = `world ${worldNumber(first.name)} vmm0:${printable(name)}${uuid === undefined ? '' : ` vcUuid:'${uuidBytes(uuid)}'`}\n`;
  return head + filters.map((filter) => [
    ` port ${printable(filter.interface)} ${printable(name)}.${printable(filter.vnic)}`,
    `  vNic slot ${filter.slot}`,
    `   name: ${filter.name}`,
    `   agentName: ${filter.agentName}`,
    `   state: ${filter.state === 'waiting' ? 'IOChain Detached' : 'IOChain Attached'}`,
    '   vmState: Detached',
    `   failurePolicy: ${filter.failurePolicy}`,
    '   slowPathID: none',
    '   filter source: Dynamic Filter Creation',
    '',
  ].join('\n')).join('');
}

function worldNumber(filterName: string): string {
  return /^nic-(\d+)-/u.exec(filterName)?.[1] ?? '0';
}

/** "5026c7cd-b6f3-f4bc-e533-3d4b255c6277" as 16 bytes in two halves, ESXi's spelling; other text as it is. */
export function uuidBytes(uuid: string): string {
  const digits = uuid.replaceAll('-', '').toLowerCase();
  if (!/^[0-9a-f]{32}$/u.test(digits)) return printable(uuid);
  const octets = digits.match(/../gu) ?? [];
  return `${octets.slice(0, 8).join(' ')}-${octets.slice(8).join(' ')}`;
}
