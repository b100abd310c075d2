/**
 * The schema of proto/dfw/v1/agent.proto as gRPC method definitions. Messages are plain objects; src/api/codec.ts gives them types.
 * What is read is agent.json, the same schema as protobuf.js describes it (scripts/gen-schema writes it): no program should wait
 * for a parser when it starts.
 */
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import { AgentError } from '../model/errors.js';
import { descriptionFile, readDescription } from '../platform/protobuf-file.js';
import type { MethodDescription } from '../platform/protobuf-file.js';
import { Messages } from '../platform/protobuf.js';

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

/** Reads the schema from the package's proto folder. Throws E_INTERNAL when it is not there. */
export function loadSchema(path: string = descriptionFile('dfw/v1/agent')): Schema {
  const described = readDescription(path, 'dfw.v1', 'Agent');
  const methods = described['Agent']?.methods ?? {};
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
