/** The methods of etcd's API that are used, by proto/etcd/rpc.proto. */
import type { MethodDefinition } from '@grpc/grpc-js';
import { AgentError } from '../../../model/errors.js';
import { descriptionFile, readDescription } from '../../../platform/protobuf-file.js';
import { Messages } from '../../../platform/protobuf.js';

export type EtcdMethod = Pick<MethodDefinition<object, object>, 'path' | 'requestSerialize' | 'responseDeserialize'>;

const PACKAGE = 'etcdserverpb';

export class EtcdMethods {
  readonly #methods = new Map<string, EtcdMethod>();

  constructor() {
    const described = readDescription(descriptionFile('etcd/rpc'), PACKAGE, 'KV');
    const messages = new Messages(described);
    for (const [service, { methods }] of Object.entries(described)) {
      for (const [name, { requestType, responseType }] of Object.entries(methods ?? {})) {
        this.#methods.set(name, {
          path: `/${PACKAGE}.${service}/${name}`,
          requestSerialize: (value) => messages.serialize(requestType, value),
          responseDeserialize: (bytes) => messages.parse(responseType, bytes),
        });
      }
    }
  }

  /** By its name alone: no two services share one. */
  get(name: string): EtcdMethod {
    const method = this.#methods.get(name);
    if (method === undefined) throw new AgentError('E_INTERNAL', `etcd has no method ${name}`);
    return method;
  }
}
