/** Many messages at once: bundles (OpenFlow 1.5.1, 7.3.9), and rows that end with a barrier. */
import { AgentError } from '../../../model/errors.js';
import type { Clock } from '../../../platform/clock.js';
import { ByteWriter } from './bytes.js';
import { LARGEST_MESSAGE } from './constants.js';
import type { OpenFlowVersion } from './constants.js';
import type { Message } from './message.js';
import { BUNDLE, BUNDLE_FLAG, encodeBarrier, encodeBundleControl, writeBundleAdd } from './messages.js';
import type { Batch, PendingRequests } from './pending.js';
import { refused } from './switch-errors.js';

export interface BatchOptions {
  /** Before the commit it discards the bundle; a sequence stops where it is. E_CANCELLED then. */
  readonly signal?: AbortSignal;
}

/** What a row of messages needs of its connection. */
export interface BatchWire {
  readonly version: OpenFlowVersion;
  readonly clock: Clock;
  readonly pending: PendingRequests;
  /** False: wait for `drained` before more is written. Throws when the connection has ended. */
  write(bytes: Uint8Array): boolean;
  drained(): Promise<void>;
  request(message: Uint8Array, signal?: AbortSignal): Promise<Message>;
}

/** Handed to the socket at once. */
const CHUNK = 64 * 1024;
/** Others get a turn this often, ms. */
const TURN_MS = 4;
/** There is one bundle at a time; its number only must not be one that a former end left open. */
const BUNDLE_ID_BITS = 0xffff;

/** Resolves with the number of messages, after the commit. */
export async function sendBundle(wire: BatchWire, messages: Iterable<Uint8Array>, { signal }: BatchOptions): Promise<number> {
  const { version, pending } = wire;
  const batch = pending.openBatch();
  const id = (batch.first & BUNDLE_ID_BITS) + 1;
  const flags = BUNDLE_FLAG.ATOMIC | BUNDLE_FLAG.ORDERED;
  const control = (type: number): Promise<Message> => wire.request(encodeBundleControl(id, type, flags, version));
  try {
    throwIfAborted(signal);
    // Not waited for: where it is refused, so is what follows, and nothing is committed.
    const opened = control(BUNDLE.OPEN);
    opened.catch(() => undefined);
    try {
      await stream(wire, batch, messages, signal, (writer, message) => writeBundleAdd(writer, id, flags, batch.next(), message, version));
      // A message that is refused when it is added is left out, and a commit would do the rest: so ask first. Closing is
      // answered after everything before it.
      const closed = control(BUNDLE.CLOSE);
      closed.catch(() => undefined);
      await opened;
      await closed;
      throwIfRefused(batch, 'a bundle');
      throwIfAborted(signal);
    } catch (error) {
      await discard(control);
      throw error;
    }
    try {
      await control(BUNDLE.COMMIT);
    } catch (error) {
      // The message at fault is named in an error of its own, which comes first.
      throwIfRefused(batch, 'a bundle', error);
      throw error;
    }
    return batch.count;
  } finally {
    pending.closeBatch(batch);
  }
}

async function discard(control: (type: number) => Promise<Message>): Promise<void> {
  try {
    await control(BUNDLE.DISCARD);
  } catch {
    // The connection has ended and the bundle with it, or the switch has dropped it already: the first error tells.
  }
}

/** Resolves with the number of messages when the switch has worked on all of them. */
export async function sendSequence(wire: BatchWire, messages: Iterable<Uint8Array>, { signal }: BatchOptions): Promise<number> {
  const batch = wire.pending.openBatch();
  try {
    throwIfAborted(signal);
    await stream(wire, batch, messages, signal, (writer, message) => {
      const start = writer.length;
      writer.put(message);
      writer.patch32(start + 4, batch.next());
    });
    await wire.request(encodeBarrier(wire.version));
    throwIfRefused(batch, 'a change');
    return batch.count;
  } finally {
    wire.pending.closeBatch(batch);
  }
}

/** Writes in chunks, at the pace of the switch; stops when one was refused. */
async function stream(
  wire: BatchWire, batch: Batch, messages: Iterable<Uint8Array>, signal: AbortSignal | undefined, add: (writer: ByteWriter, message: Uint8Array) => void,
): Promise<void> {
  const writer = new ByteWriter(CHUNK + LARGEST_MESSAGE);
  let turnAt = wire.clock.monotonic() + TURN_MS;
  for (const message of messages) {
    add(writer, message);
    if (writer.length < CHUNK) continue;
    const more = wire.write(writer.take(CHUNK + LARGEST_MESSAGE));
    if (!more) await wire.drained();
    if (wire.clock.monotonic() >= turnAt) {
      await new Promise((resolve) => setImmediate(resolve));
      turnAt = wire.clock.monotonic() + TURN_MS;
    }
    throwIfAborted(signal);
    if (batch.refusal !== undefined) return;
  }
  if (writer.length > 0) wire.write(writer.take(16));
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new AgentError('E_CANCELLED', 'cancelled', { object: 'openflow' });
}

function throwIfRefused(batch: Batch, what: string, cause?: unknown): void {
  const { refusal } = batch;
  if (refusal === undefined) return;
  const error = refused(refusal.error, `message ${String(refusal.index)} of ${what}`, { index: refusal.index });
  if (cause !== undefined) error.cause = cause;
  throw error;
}
