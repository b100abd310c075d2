import type { IdsStatusView, SignatureFaultView, SignatureView } from '../../model/views.js';
import { keyed } from './filters.js';
import type { Palette } from './palette.js';
import { printable } from './printable.js';
import { table } from './table.js';

export function signaturesText(signatures: readonly SignatureView[]): string {
  return table([
    { title: 'SID', align: 'right', cell: (signature) => String(signature.sid) },
    { title: 'REV', align: 'right', cell: (signature) => String(signature.rev) },
    { title: 'ACTION', cell: (signature) => signature.action },
    { title: 'SEV', align: 'right', cell: (signature) => String(signature.severity) },
    { title: 'STATE', cell: (signature) => (signature.enabled ? 'enabled' : 'disabled') },
    { title: 'CATEGORY', cell: (signature) => signature.category },
    { title: 'FILE', cell: (signature) => signature.file },
    { title: 'MESSAGE', cell: (signature) => signature.message },
  ], signatures);
}

/** One line each: "file:line: sid N: reason". */
export function faultsText(faults: readonly SignatureFaultView[]): string {
  return faults.map(({ file, line, sid, reason }) => {
    const place = line === 0 ? file : `${file}:${line}`;
    return `${printable(`${place}: ${sid === undefined ? '' : `sid ${sid}: `}${reason}`)}\n`;
  }).join('');
}

/** The engine, its signatures, the bundle they come from, then what is wrong. */
export function idsStatusText(view: IdsStatusView, palette: Palette): string {
  const { engine, signatures, bundle, refused } = view;
  const pairs: [string, string][] = [
    ['Engine', `${engine.kind}, ${engine.state}${engine.reason === '' ? '' : `: ${engine.reason}`}`],
    ...(engine.since === '' ? [] : [['Since', engine.since] satisfies [string, string]]),
    ...(engine.pid === undefined ? [] : [['PID', String(engine.pid)] satisfies [string, string]]),
    ['Restarts', String(engine.restarts)],
    ...(engine.bounds === undefined ? [] : [['Bounds', engine.bounds] satisfies [string, string]]),
  ];
  if (signatures !== undefined) {
    pairs.push(
      ['Signatures', `${signatures.loaded} loaded, ${signatures.failed} failed, ${signatures.skipped} skipped`],
      ['Directory', signatures.directory], ['Tested', signatures.testedAt === '' ? 'never' : signatures.testedAt],
    );
  }
  if (bundle !== undefined) {
    const { lastFetch } = bundle;
    pairs.push(
      ['Bundle', bundle.source], ['Version', bundle.version ?? 'none'], ['SHA-256', bundle.sha256 ?? ''], ['Version before', bundle.previous ?? 'none'],
      ['Last fetch', lastFetch === undefined ? 'none' : `${lastFetch.at}, ${lastFetch.result}: ${lastFetch.detail}`], ['Next fetch', bundle.nextFetch ?? 'when asked'],
    );
  }
  pairs.push(
    ['Packets', String(view.packets)], ['Dropped', String(view.dropped)], ['Memory', `${view.memory} bytes`], ['Memory caps hit', String(view.memcapHits)],
  );
  const wrong = refused === undefined ? '' : `\n${palette.bad('refused')} ${printable(`${refused.at}: ${refused.what}: ${refused.reason}`)}\n${faultsText(refused.faults)}`;
  return `${keyed(pairs)}${wrong}`;
}
