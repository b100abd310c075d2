/** What a TrafficControl of action Mirror asks of one side of a filter, and in which order several of them are asked. */
import type { CopyRateLimit, TrafficControlObject, TrafficMatch } from './objects.js';

/** Absent: all packets, all connections, no limit. */
export interface CopyRequest {
  /** Name of the TrafficControl. */
  readonly control: string;
  readonly match?: readonly TrafficMatch[];
  readonly sampling?: number;
  readonly rateLimit?: CopyRateLimit;
}

export function copyRequest({ metadata, match, sampling, rateLimit }: TrafficControlObject): CopyRequest {
  return {
    control: metadata.name, ...(match === undefined ? {} : { match }), ...(sampling === undefined ? {} : { sampling }), ...(rateLimit === undefined ? {} : { rateLimit }),
  };
}

/** Takes every packet: nothing that is asked after it is ever asked. */
export function takesAll({ match, sampling, rateLimit }: Omit<CopyRequest, 'control'>): boolean {
  return match === undefined && sampling === undefined && rateLimit === undefined;
}

/**
 * Requests of one device in the order in which they are asked: the first that takes a packet copies it, or, being limited, does not. So those with a
 * limit come last: what another wants is not lost to them. Stable otherwise; ends with the first that takes all.
 */
export function inTurn<R extends Omit<CopyRequest, 'control'>>(requests: readonly R[]): R[] {
  const ordered = [...requests.filter(({ rateLimit }) => rateLimit === undefined), ...requests.filter(({ rateLimit }) => rateLimit !== undefined)];
  const last = ordered.findIndex((request) => takesAll(request));
  return last < 0 ? ordered : ordered.slice(0, last + 1);
}
