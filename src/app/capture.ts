/** Packets of one interface as a pcap file (https://www.tcpdump.org/manpages/pcap-savefile.5.html). */
import { AgentError } from '../model/errors.js';
import type { PacketCapture, PacketCaptureOptions } from '../native/binding.js';
import type { Clock } from '../platform/clock.js';

export interface CaptureRequest {
  readonly interface: string;
  readonly count?: number;
  readonly seconds?: number;
  readonly snaplen?: number;
  readonly expression?: string;
}
export interface CaptureEffects {
  readonly open: (options: PacketCaptureOptions) => PacketCapture;
  readonly clock: Clock;
}

const SNAPLEN = 262_144;
/** Bytes that wait for a slow reader; packets that come meanwhile are left out. */
const WAITING_LIMIT = 32 * 2 ** 20;
/** How often to look whether the interface is still there: its end is no packet. */
const ATTACHED_MS = 500;
const RECORD_HEADER = 16;

/**
 * Header first, then one chunk or more of whole packets; ends at `count`, after `seconds`, or when the signal fires (also before the
 * first packet). Rejects with E_USAGE for a bad expression, with E_NOT_FOUND when the interface does not exist, or goes: what came
 * before that has been handed out. Nothing is open any more when it has ended, or the reader returns early.
 */
export async function* capture(request: CaptureRequest, { open, clock }: CaptureEffects, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const snaplen = request.snaplen ?? SNAPLEN;
  const source = opened(request, () => open({ interface: request.interface, snaplen, ...(request.expression === undefined ? {} : { filter: request.expression }) }));
  const chunks: Uint8Array[] = [];
  let waiting = 0;
  let left = request.count ?? Infinity;
  let done = signal.aborted;
  let wake = (): void => undefined;
  const finish = (): void => {
    done = true;
    wake();
  };
  const take = (records: Uint8Array, packets: number): void => {
    if (done || waiting > WAITING_LIMIT) return;
    const kept = packets > left ? firstRecords(records, left) : records;
    left -= packets;
    chunks.push(kept);
    waiting += kept.length;
    if (left <= 0) done = true;
    wake();
  };
  let gone = false;
  let stopLooking = (): void => undefined;
  const look = (): void => {
    gone = !source.attached();
    if (gone) finish();
    else stopLooking = clock.after(ATTACHED_MS, look);
  };
  let stopTimer = (): void => undefined;
  signal.addEventListener('abort', finish, { once: true });
  try {
    const linkType = await source.start(take).catch((error: unknown) => {
      throw refusal(request, error);
    });
    if (request.seconds !== undefined) stopTimer = clock.after(request.seconds * 1000, finish);
    look();
    yield fileHeader(snaplen, linkType);
    while (!done || chunks.length > 0) {
      const chunk = chunks.shift();
      if (chunk === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      waiting -= chunk.length;
      yield chunk;
    }
    if (gone && left > 0 && !signal.aborted) throw new AgentError('E_NOT_FOUND', 'the interface is gone: the capture ends here', { object: request.interface, retryable: true });
  } finally {
    stopTimer();
    stopLooking();
    signal.removeEventListener('abort', finish);
    source.stop();
  }
}

function opened(request: CaptureRequest, open: () => PacketCapture): PacketCapture {
  try {
    return open();
  } catch (error) {
    throw refusal(request, error, 'E_USAGE');
  }
}

function refusal(request: CaptureRequest, error: unknown, code?: 'E_USAGE'): AgentError {
  const { syscall, code: name, message } = error as Partial<{ syscall: string; code: string; message: string }>;
  const usage = code !== undefined || syscall === 'pcap_compile';
  const kind = usage ? 'E_USAGE' : name === 'ENODEV' ? 'E_NOT_FOUND' : 'E_KERNEL';
  return new AgentError(kind, `cannot capture: ${message ?? String(error)}`, { object: request.interface, retryable: !usage, cause: error });
}

function fileHeader(snaplen: number, linkType: number): Uint8Array {
  const header = new DataView(new ArrayBuffer(24));
  header.setUint32(0, 0xa1b2c3d4, true);
  header.setUint16(4, 2, true);
  header.setUint16(6, 4, true);
  header.setUint32(16, snaplen, true);
  header.setUint32(20, linkType, true);
  return new Uint8Array(header.buffer);
}

/** Each record's header: seconds, microseconds, captured length, length. The file header's byte order is little-endian, as the hosts' is. */
function firstRecords(records: Uint8Array, count: number): Uint8Array {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  let end = 0;
  for (let record = 0; record < count && end < records.length; record += 1) end += RECORD_HEADER + view.getUint32(end + 8, true);
  return records.subarray(0, end);
}
