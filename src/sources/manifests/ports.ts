/** Ports of policies as Kubernetes and Antrea write them. */
import type { PolicyPort } from '../../model/policy-objects.js';
import { portNameProblem } from '../../model/names.js';
import { SCTP, TCP, UDP } from '../../model/protocols.js';
import { refuse, refuseIf, type Draft } from './checks.js';

export const PROTOCOL_NUMBERS = { TCP, UDP, SCTP } as const;
export type ProtocolName = keyof typeof PROTOCOL_NUMBERS;

export interface PortManifest {
  readonly protocol?: ProtocolName | null;
  readonly port?: number | string | null;
  readonly endPort?: number | null;
  readonly sourcePort?: number | null;
  readonly sourceEndPort?: number | null;
}

/** TCP where no protocol is given. */
export function decodePolicyPort(manifest: PortManifest, path: string): PolicyPort {
  const { port, endPort, sourcePort, sourceEndPort } = manifest;
  const result: Draft<PolicyPort> = { protocol: PROTOCOL_NUMBERS[manifest.protocol ?? 'TCP'] };
  if (typeof port === 'string') refuseIf(portNameProblem(port), `${path}.port`);
  if (typeof port === 'number') checkPort(port, path, 'port');
  if (typeof port === 'string' || typeof port === 'number') result.port = port;
  if (typeof endPort === 'number') {
    if (typeof port !== 'number') throw refuse(`${path}.endPort`, `endPort needs a numeric port, and port is ${port === undefined || port === null ? 'absent' : 'a name'}`);
    result.endPort = checkEnd(port, endPort, path, 'endPort');
  }
  if (typeof sourcePort === 'number') result.sourcePort = checkPort(sourcePort, path, 'sourcePort');
  if (typeof sourceEndPort === 'number') {
    if (typeof sourcePort !== 'number') throw refuse(`${path}.sourceEndPort`, 'sourceEndPort needs a sourcePort');
    result.sourceEndPort = checkEnd(sourcePort, sourceEndPort, path, 'sourceEndPort');
  }
  return result;
}

export function checkPort(port: number, path: string, field: string): number {
  if (port < 1 || port > 65_535) throw refuse(`${path}.${field}`, `${port} is not a port; it must be from 1 to 65535`);
  return port;
}

export function checkEnd(first: number, last: number, path: string, field: string): number {
  checkPort(last, path, field);
  if (last < first) throw refuse(`${path}.${field}`, `${last} is below ${first}, where the range begins`);
  return last;
}
