/**
 * The schema of proto/dfw/v1/agent.proto as gRPC method definitions. Messages are plain objects; src/api/codec.ts gives them types.
 * What is read is agent.json, the same schema as protobuf.js describes it (scripts/gen-schema writes it): no program should wait
 * for a parser when it starts.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import { AgentError } from '../model/errors.js';
import { Messages } from './wire.js';
import type { MessageDescription } from './wire.js';

export type WireMethod = MethodDefinition<object, object>;
export interface Schema {
  /** Every rpc of service dfw.v1.Agent. */
  service(): ServiceDefinition;
  /** The definition of an rpc of that service. Throws E_INTERNAL for a name the schema has not. */
  method(name: string): WireMethod;
  /** Serializer and parser of a message: used for the error trailer. They throw E_INTERNAL for a name the schema has not. */
  message(name: string): WireMessage;
}
export interface WireMessage {
  readonly serialize: (value: object) => Buffer;
  readonly parse: (bytes: Uint8Array) => object;
}

/** A request may carry all manifests of a host, an answer the address sets of a filter with a million members. */
export const MESSAGE_LIMIT_BYTES = 512 * 1024 * 1024;
/** HTTP/2 window: a few chunks of a flow dump in flight, so that neither side waits for the other's acknowledgement. */
export const FLOW_WINDOW_BYTES = 1024 * 1024;

const SERVICE = 'dfw.v1.Agent';

interface MethodDescription { readonly requestType: string; readonly responseType: string; readonly requestStream?: boolean; readonly responseStream?: boolean }
interface ServiceDescription { readonly methods: Readonly<Record<string, MethodDescription>> }
type PackageDescription = Readonly<Record<string, MessageDescription>> & { readonly Agent: ServiceDescription };

/** Reads the schema from the package's proto folder (src/api, dist/api and dist/agentctl lie equally deep). Throws E_INTERNAL when it is not there. */
export function loadSchema(path: string = fileURLToPath(new URL('../../proto/dfw/v1/agent.json', import.meta.url))): Schema {
  const described = read(path);
  const { methods } = described.Agent;
  const messages = new Messages(described);
  const message = (name: string): WireMessage => ({
    serialize: (value) => messages.serialize(name, value),
    parse: (bytes) => messages.parse(name, bytes),
  });
  const define = (name: string, { requestType, responseType, requestStream, responseStream }: MethodDescription): WireMethod => {
    const [request, response] = [message(requestType), message(responseType)];
    return {
      path: `/${SERVICE}/${name}`,
      requestStream: requestStream === true,
      responseStream: responseStream === true,
      requestSerialize: request.serialize,
      requestDeserialize: request.parse,
      responseSerialize: response.serialize,
      responseDeserialize: response.parse,
    };
  };
  return {
    service: () => Object.fromEntries(Object.entries(methods).map(([name, method]) => [name, define(name, method)])),
    method(name) {
      const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
      if (method === undefined) throw new AgentError('E_INTERNAL', `no rpc ${name}`, { object: path });
      return define(name, method);
    },
    message,
  };
}

function read(path: string): PackageDescription {
  try {
    let described: unknown = JSON.parse(readFileSync(path, 'utf8'));
    for (const name of SERVICE.split('.').slice(0, -1)) described = member(member(described, 'nested'), name);
    const nested = member(described, 'nested');
    if (isPackage(nested)) return nested;
    throw new Error(`no service ${SERVICE}`);
  } catch (cause) {
    throw new AgentError('E_INTERNAL', 'the API schema cannot be read; the installation is incomplete', { object: path, cause });
  }
}

function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}

/** The rest is as scripts/gen-schema wrote it. */
function isPackage(value: unknown): value is PackageDescription {
  return member(member(value, 'Agent'), 'methods') !== undefined;
}
