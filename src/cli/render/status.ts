import type { HealthView, StatusView } from '../../model/views.js';
import { keyed } from './filters.js';
import type { Palette } from './palette.js';
import { printable } from './printable.js';
import { table } from './table.js';

export function faultLine(fault: { object: string; path: string; message: string }): string {
  return printable([fault.object, fault.path, fault.message].filter((part) => part !== '').join(': '));
}

/** Overview, then a table each of sources and components, then what is wrong, one line each. */
export function statusText(view: StatusView, palette: Palette): string {
  const overview = keyed([
    ['Node', view.node],
    ['Version', view.version],
    ['Datapath', view.datapath],
    ['Filters', String(view.filters)],
    ['Policies', String(view.policies)],
    ['Rules', String(view.rules)],
    ['Addresses', String(view.addresses)],
    ['Generation', String(view.generation)],
  ]);
  const realized = `${'Realized'.padEnd(25)}: ${view.realized ? palette.good('yes') : palette.bad('no')}\n`;
  const sources = table([
    { title: 'SOURCE', cell: (source) => source.type },
    { title: 'SYNCED', cell: (source) => (source.synced ? 'yes' : 'no') },
    { title: 'REVISION', align: 'right', cell: (source) => String(source.revision) },
    { title: 'ERRORS', align: 'right', cell: (source) => String(source.errors.length) },
  ], view.sources);
  const components = view.components.length === 0 ? '' : `\n${table([
    { title: 'COMPONENT', cell: (component) => component.name },
    { title: 'STATE', cell: (component) => component.state },
    { title: 'DETAIL', cell: (component) => component.detail },
  ], view.components)}`;
  const degraded = view.degraded.map((entry) => `${palette.bad('degraded')} since ${printable(entry.since)}: ${printable(entry.reason)}\n`);
  const errors = view.sources.flatMap((source) => source.errors.map((fault) => `${palette.bad('refused')} ${source.type}: ${faultLine(fault)}\n`));
  const wrong = [...degraded, ...errors];
  return `${overview}${realized}\n${sources}${components}${wrong.length === 0 ? '' : `\n${wrong.join('')}`}`;
}

export function healthText(view: HealthView, palette: Palette): string {
  const verdict = view.healthy ? palette.good('healthy') : palette.bad('unhealthy');
  return `${verdict}\n${table([
    { title: 'CHECK', cell: (check) => check.name },
    { title: 'OK', cell: (check) => (check.ok ? 'yes' : 'no') },
    { title: 'DETAIL', cell: (check) => check.detail },
  ], view.checks)}`;
}
