/**
 * What dfw-cni (native/cni) asks of the agent, and the answers: JSON in frames of four bytes of length (big endian). Between two programs of one
 * installation: `version` grows when the form changes, and another one is refused.
 */
import { canonicalHost, canonicalMac, isMac } from '../model/address.js';
import { AgentError, describeError, isAgentError } from '../model/errors.js';
import { fieldsOf } from '../model/identity.js';
import { interfaceProblem, labelProblem, subdomainProblem } from '../model/names.js';

/** One interface of one container, as the runtime names it. */
export interface CniKey {
  /** Of the network configuration: a runtime that collects garbage speaks of one network. */
  readonly network: string;
  readonly containerId: string;
  readonly vnic: string;
}

export interface CniInterface extends CniKey {
  readonly pod: { readonly namespace: string; readonly name: string };
  /** Of the host. */
  readonly interface: string;
  readonly mac?: string;
  /** Canonical hosts. */
  readonly addresses: readonly string[];
}

export type CniRequest =
  | { readonly command: 'ADD' | 'CHECK'; readonly interface: CniInterface; readonly timeoutMs: number }
  | { readonly command: 'DEL'; readonly key: CniKey }
  /** Interfaces of the network that the runtime still has. */
  | { readonly command: 'GC'; readonly network: string; readonly valid: readonly CniKey[] }
  | { readonly command: 'STATUS' };

export const CNI_FRAME_LIMIT = 1 << 20;
const VERSION = 1;
const MOST_ADDRESSES = 64;
const LONGEST_MS = 600_000;

/** @throws AgentError E_PARSE when it is no JSON, E_INVALID (with the place) when it is no request. */
export function readCniRequest(text: string): CniRequest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new AgentError('E_PARSE', 'the request is no JSON', { cause });
  }
  const fields = fieldsOf(value);
  if (fields === undefined) throw invalid('', 'the request is no object');
  if (fields['version'] !== VERSION) throw invalid('version', `is not ${VERSION}: dfw-cni and the agent are of different versions`);
  const command = fields['command'];
  switch (command) {
    case 'ADD':
    case 'CHECK':
      return { command, interface: readInterface(fields), timeoutMs: readTimeout(fields['timeoutMs']) };
    case 'DEL':
      return { command, key: readKey(fields) };
    case 'GC':
      return { command, ...readValid(fields) };
    case 'STATUS':
      return { command };
    default:
      throw invalid('command', 'is none');
  }
}

/** Without an error: it is done. */
export function cniAnswer(error?: unknown): string {
  if (error === undefined) return JSON.stringify({ ok: true });
  return JSON.stringify({ ok: false, code: isAgentError(error) ? error.code : 'E_INTERNAL', message: describeError(error) });
}

/** The frame of a text. */
export function cniFrame(text: string): Buffer {
  const body = Buffer.from(text);
  const frame = Buffer.alloc(4 + body.length);
  frame.writeUInt32BE(body.length);
  body.copy(frame, 4);
  return frame;
}

/** The text of the frame that begins the bytes; undefined while there is more to come. @throws AgentError E_LIMIT when it is too long. */
export function frameText(bytes: Buffer): string | undefined {
  if (bytes.length < 4) return undefined;
  const length = bytes.readUInt32BE();
  if (length > CNI_FRAME_LIMIT) throw new AgentError('E_LIMIT', `a request has at most ${CNI_FRAME_LIMIT} bytes`);
  return bytes.length < 4 + length ? undefined : bytes.toString('utf8', 4, 4 + length);
}

type Fields = Readonly<Record<string, unknown>>;

function readInterface(fields: Fields): CniInterface {
  const pod = fieldsOf(fields['pod']) ?? {};
  const namespace = textOf(pod['namespace'], 'pod.namespace');
  const name = textOf(pod['name'], 'pod.name');
  const device = textOf(fields['interface'], 'interface');
  refuseIf(labelProblem(namespace), 'pod.namespace');
  refuseIf(subdomainProblem(name), 'pod.name');
  refuseIf(interfaceProblem(device), 'interface');
  const { mac, addresses = [] } = fields;
  if (mac !== undefined && (typeof mac !== 'string' || !isMac(mac))) throw invalid('mac', 'is no MAC address');
  if (!Array.isArray(addresses) || addresses.length > MOST_ADDRESSES) throw invalid('addresses', `is no list of at most ${MOST_ADDRESSES} addresses`);
  return {
    ...readKey(fields), pod: { namespace, name }, interface: device, ...(mac === undefined ? {} : { mac: canonicalMac(mac) }),
    addresses: [...new Set(addresses.map((address: unknown, index) => readAddress(address, `addresses[${index}]`)))],
  };
}

function readAddress(value: unknown, path: string): string {
  try {
    return canonicalHost(textOf(value, path));
  } catch (error) {
    throw invalid(path, describeError(error));
  }
}

function readKey(fields: Fields): CniKey {
  const { network, containerId, vnic } = fields;
  return { network: typeof network === 'string' ? network.slice(0, 253) : '', ...readContainer({ containerId, vnic }, '') };
}

function readContainer({ containerId, vnic }: Fields, path: string): Omit<CniKey, 'network'> {
  const container = textOf(containerId, `${path}containerId`);
  const name = textOf(vnic, `${path}vnic`);
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,252}$/.test(container)) throw invalid(`${path}containerId`, 'is no container id (CNI specification, "Parameters")');
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$/.test(name)) throw invalid(`${path}vnic`, 'may hold only letters, digits and . _ -, at most 15');
  return { containerId: container, vnic: name };
}

function readValid(fields: Fields): { network: string; valid: CniKey[] } {
  const { network, valid } = fields;
  if (typeof network !== 'string' || network === '') throw invalid('network', 'is missing: nothing is collected');
  if (!Array.isArray(valid)) throw invalid('valid', 'is no list: nothing is collected');
  return { network, valid: valid.map((entry: unknown, index) => ({ network, ...readContainer(fieldsOf(entry) ?? {}, `valid[${index}].`) })) };
}

function readTimeout(value: unknown): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > LONGEST_MS) throw invalid('timeoutMs', `is no number from 0 to ${LONGEST_MS}`);
  return value;
}

function textOf(value: unknown, path: string): string {
  if (typeof value !== 'string' || value === '') throw invalid(path, 'is missing, or no text');
  return value;
}

function refuseIf(problem: string | undefined, path: string): void {
  if (problem !== undefined) throw invalid(path, problem);
}

function invalid(path: string, message: string): AgentError {
  return new AgentError('E_INVALID', message, { object: 'request', path });
}
