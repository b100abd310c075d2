/** proto/dfw/v1/agent.proto as gRPC method definitions. Messages are plain objects; src/api/codec.ts gives them types. */
import { fileURLToPath } from 'node:url';
import { loadSync } from '@grpc/proto-loader';
import type { AnyDefinition, MessageTypeDefinition, MethodDefinition, PackageDefinition, ServiceDefinition } from '@grpc/proto-loader';
import { AgentError } from '../model/errors.js';

export type WireMethod = MethodDefinition<object, object>;
export interface Schema {
  readonly service: ServiceDefinition;
  /** The definition of an rpc of service dfw.v1.Agent. Throws E_INTERNAL for a name the schema has not. */
  method(name: string): WireMethod;
  /** Serializer and parser of a message: used for the error trailer. */
  message(name: string): { serialize(value: object): Buffer; parse(bytes: Buffer): object };
}

/** A request may carry all manifests of a host, an answer the address sets of a filter with a million members. */
export const MESSAGE_LIMIT_BYTES = 512 * 1024 * 1024;
/** HTTP/2 window: a few chunks of a flow dump in flight, so that neither side waits for the other's acknowledgement. */
export const FLOW_WINDOW_BYTES = 1024 * 1024;

const SERVICE = 'dfw.v1.Agent';

/** Reads the schema from the package's proto folder (src/api and dist/api lie equally deep). Throws E_INTERNAL when it is not there. */
export function loadSchema(path: string = fileURLToPath(new URL('../../proto/dfw/v1/agent.proto', import.meta.url))): Schema {
  const definitions = read(path);
  const service = definitions[SERVICE];
  if (service === undefined || !isService(service)) throw new AgentError('E_INTERNAL', `no service ${SERVICE}`, { object: path });
  return {
    service,
    method(name) {
      const method = service[name];
      if (method === undefined) throw new AgentError('E_INTERNAL', `no rpc ${name}`, { object: path });
      return method;
    },
    message(name) {
      const definition = definitions[`dfw.v1.${name}`];
      if (definition === undefined || !isMessage(definition)) throw new AgentError('E_INTERNAL', `no message ${name}`, { object: path });
      return { serialize: (value) => definition.serialize(value), parse: (wire) => definition.deserialize(wire) };
    },
  };
}

function read(path: string): PackageDefinition {
  try {
    return loadSync(path, { longs: Number, enums: String, defaults: false, arrays: false, objects: false, oneofs: false });
  } catch (cause) {
    throw new AgentError('E_INTERNAL', 'the API schema cannot be read; the installation is incomplete', { object: path, cause });
  }
}

/** Message and enum definitions carry a `format` text; a service is a table of methods. */
function isService(definition: AnyDefinition): definition is ServiceDefinition {
  return typeof definition['format'] !== 'string';
}

function isMessage(definition: AnyDefinition): definition is MessageTypeDefinition<object, object> {
  return 'serialize' in definition && typeof definition.serialize === 'function';
}
