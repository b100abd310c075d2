/** Packets of one interface as a pcap file (https://www.tcpdump.org/manpages/pcap-savefile.5.html), read through libpcap. */
import { createRequire } from 'node:module';
import { AgentError, describeError } from '../model/errors.js';

export interface CaptureRequest {
  readonly interface: string;
  readonly count?: number;
  readonly seconds?: number;
  readonly snaplen?: number;
  readonly expression?: string;
}

interface PcapSession {
  readonly link_type: string;
  on(event: 'packet', listener: (packet: { readonly header: Buffer; readonly buf: Buffer }) => void): void;
  close(): void;
}
interface PcapModule {
  createSession(device: string, options: { filter?: string; promiscuous?: boolean; buffer_timeout?: number; snap_length?: number }): PcapSession;
}

const SNAPLEN = 262_144;
/** Packets waiting for a slow reader; more are left out. */
const QUEUE_LIMIT = 10_000;

/** Header first, then one chunk or more; ends at `count`, after `seconds`, or when the signal fires. Rejects with E_USAGE for a bad expression. */
export async function* capture(request: CaptureRequest, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const snaplen = request.snaplen ?? SNAPLEN;
  const session = open(request, snaplen);
  const queue: Uint8Array[] = [];
  let seen = 0;
  let done = false;
  let wake = (): void => undefined;
  const finish = (): void => {
    done = true;
    wake();
  };
  const timer = request.seconds === undefined ? undefined : setTimeout(finish, request.seconds * 1000);
  signal.addEventListener('abort', finish, { once: true });
  session.on('packet', ({ header, buf }) => {
    if (done || queue.length >= QUEUE_LIMIT) return;
    queue.push(record(header, buf));
    seen += 1;
    if (request.count !== undefined && seen >= request.count) done = true;
    wake();
  });
  try {
    yield fileHeader(snaplen);
    while (!done || queue.length > 0) {
      if (queue.length > 0) yield Buffer.concat(queue.splice(0));
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    clearTimeout(timer);
    session.close();
  }
}

function open(request: CaptureRequest, snaplen: number): PcapSession {
  const load = createRequire(import.meta.url);
  const loaded: unknown = load('pcap');
  if (!isPcap(loaded)) throw new AgentError('E_NATIVE', 'the pcap module is not what it should be: run scripts/setup');
  const pcap = loaded;
  try {
    return pcap.createSession(request.interface, {
      ...(request.expression === undefined ? {} : { filter: request.expression }), promiscuous: false, buffer_timeout: 10, snap_length: snaplen,
    });
  } catch (error) {
    throw new AgentError('E_USAGE', `cannot capture: ${describeError(error)}`, { object: request.interface, cause: error });
  }
}

function isPcap(module: unknown): module is PcapModule {
  return typeof module === 'object' && module !== null && 'createSession' in module && typeof module.createSession === 'function';
}

function fileHeader(snaplen: number): Uint8Array {
  const header = new DataView(new ArrayBuffer(24));
  header.setUint32(0, 0xa1b2c3d4, true);
  header.setUint16(4, 2, true);
  header.setUint16(6, 4, true);
  header.setUint32(16, snaplen, true);
  header.setUint32(20, 1, true); // LINKTYPE_ETHERNET
  return new Uint8Array(header.buffer);
}

/** `header`: seconds, microseconds, captured length, length; four host-order words, as the module hands them out. */
function record(header: Buffer, packet: Buffer): Uint8Array {
  const captured = header.readUInt32LE(8);
  const bytes = new Uint8Array(16 + captured);
  bytes.set(header.subarray(0, 16));
  bytes.set(packet.subarray(0, captured), 16);
  return bytes;
}
