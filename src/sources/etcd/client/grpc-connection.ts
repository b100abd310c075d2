/** One endpoint's gRPC channel, made anew when the certificates change. */
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { AgentError } from '../../../model/errors.js';
import type { Endpoint } from './endpoint.js';
import type { EtcdMethod } from './methods.js';
import type { TlsContents } from './tls-files.js';

/** etcd answers with what a page holds; a page is bounded by keys, each of at most 1.5 MiB by its default. */
const MESSAGE_LIMIT_BYTES = 1024 * 1024 * 1024;
/** etcd takes pings no more often than every 5 s. */
const KEEPALIVE_MS = 10_000;
const KEEPALIVE_TIMEOUT_MS = 5_000;

/** Asks for an end where the member is cut off from the majority (etcd's clientv3.WithRequireLeader). */
export const REQUIRE_LEADER: Readonly<Record<string, string>> = { hasleader: 'true' };

export class GrpcConnection {
  #client: Client | undefined;
  #signature = '';

  constructor(readonly endpoint: Endpoint) {}

  /** One question, one answer. Rejects with gRPC's error. */
  unary(method: EtcdMethod, request: object, headers: Readonly<Record<string, string>>, timeoutMs: number, tls: TlsContents | undefined, serverName: string | undefined, signal: AbortSignal): Promise<object> {
    const client = this.#ready(tls, serverName);
    return new Promise((resolve, reject) => {
      const cancel = (): void => call.cancel();
      const call = client.makeUnaryRequest(method.path, method.requestSerialize, method.responseDeserialize, request, metadataOf(headers), { deadline: Date.now() + timeoutMs }, (error, answer) => {
        signal.removeEventListener('abort', cancel);
        if (error !== null) reject(error);
        else if (answer === undefined) reject(new AgentError('E_UNREACHABLE', 'an empty answer', { object: this.endpoint.text, retryable: true }));
        else resolve(answer);
      });
      signal.addEventListener('abort', cancel, { once: true });
      if (signal.aborted) cancel();
    });
  }

  /** Without a time limit where `timeoutMs` is undefined. */
  stream(method: EtcdMethod, headers: Readonly<Record<string, string>>, timeoutMs: number | undefined, tls: TlsContents | undefined, serverName: string | undefined): ClientDuplexStream<object, object> {
    return this.#ready(tls, serverName).makeBidiStreamRequest(
      method.path, method.requestSerialize, method.responseDeserialize, metadataOf(headers), timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs },
    );
  }

  close(): void {
    this.#client?.close();
    this.#client = undefined;
  }

  #ready(tls: TlsContents | undefined, serverName: string | undefined): Client {
    const signature = tls?.signature ?? '';
    if (this.#client !== undefined && this.#signature === signature) return this.#client;
    // Calls under way end by themselves; the connection with them.
    this.#client?.close();
    this.#signature = signature;
    const secure = this.endpoint.secure
      ? credentials.createSsl(tls?.ca ?? null, tls?.key ?? null, tls?.cert ?? null)
      : credentials.createInsecure();
    this.#client = new Client(this.endpoint.target, secure, {
      'grpc.max_receive_message_length': MESSAGE_LIMIT_BYTES,
      'grpc.max_send_message_length': MESSAGE_LIMIT_BYTES,
      'grpc.keepalive_time_ms': KEEPALIVE_MS,
      'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.min_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 1_000,
      'grpc.enable_channelz': 0,
      'grpc.enable_retries': 0,
      'grpc.service_config_disable_resolution': 1,
      // Endpoints share nothing: a connection that fails at one says nothing of another.
      'grpc.use_local_subchannel_pool': 1,
      'grpc-node.flow_control_window': 4 * 1024 * 1024,
      ...(serverName === undefined ? {} : { 'grpc.ssl_target_name_override': serverName, 'grpc.default_authority': serverName }),
      ...(this.endpoint.target.startsWith('unix:') ? { 'grpc.enable_http_proxy': 0, 'grpc.default_authority': 'etcd' } : {}),
    });
    return this.#client;
  }
}

function metadataOf(headers: Readonly<Record<string, string>>): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return metadata;
}
