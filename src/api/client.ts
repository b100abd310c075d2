/** The client of the API: AgentApi over the agent's Unix socket, every failure an AgentError. */
import { connect } from 'node:net';
import { Client, credentials } from '@grpc/grpc-js';
import type { ClientReadableStream } from '@grpc/grpc-js';
import { AgentError } from '../model/errors.js';
import type {
  AddressSetsView, AlertSelection, AlertsView, AlertView, ChangeView, ConnCountView, DiffView, EndpointsView, FilterStatView, FqdnAddressView, FilterView, FlowStream, HealthView, IdsStatusView, ObjectView,
  LearnedAddressView, QuarantineView, RulesView, SignatureChangeView, SignatureFilter, SignaturesView, StatusView, SyncView, TraceRequest, TraceView, TrafficControlView, EgressStateView,
} from '../model/views.js';
import type { AddQuarantineRequest, AgentApi, AttachRequest, DiffRequest, EndpointRequest, FlowsRequest, ManifestInput, ReloadIdsResult } from './agent-api.js';
import { methods } from './methods.js';
import type { CaptureRequest, FlowEvent, FlowsPart, GetAlertsRequest, ObjectName, StreamMethod, UnaryMethod } from './methods.js';
import { FLOW_WINDOW_BYTES, loadSchema, MESSAGE_LIMIT_BYTES } from './schema.js';
import type { Schema, WireMethod } from './schema.js';
import { fromWireError } from './status.js';

const PROBE_TIMEOUT_MS = 5_000;

/** As AgentApi, but what the agent answers at once comes over the wire here. */
export interface RemoteAgentApi extends Omit<AgentApi, 'version' | 'setLogLevel'> {
  version(): Promise<{ version: string; node: string; kernel: string }>;
  setLogLevel(level: string): Promise<string>;
}

export class AgentClient implements RemoteAgentApi {
  readonly #client: Client;
  readonly #schema: Schema;
  readonly #socketPath: string;
  readonly #signal: AbortSignal | undefined;

  private constructor(client: Client, schema: Schema, socketPath: string, signal: AbortSignal | undefined) {
    this.#client = client;
    this.#schema = schema;
    this.#socketPath = socketPath;
    this.#signal = signal;
  }

  /**
   * Rejects with E_UNREACHABLE when nobody answers on the socket (absent, stale, hung) and E_DENIED when this user may not
   * use it; the message says what to do. `signal` cancels every call that is waiting for its answer (E_CANCELLED).
   */
  static async connect(socketPath: string, signal?: AbortSignal): Promise<AgentClient> {
    await probe(socketPath);
    const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
      'grpc.max_receive_message_length': MESSAGE_LIMIT_BYTES,
      'grpc.max_send_message_length': MESSAGE_LIMIT_BYTES,
      'grpc-node.flow_control_window': FLOW_WINDOW_BYTES,
      'grpc.enable_http_proxy': 0,
      'grpc.enable_channelz': 0,
      'grpc.enable_retries': 0,
      'grpc.service_config_disable_resolution': 1,
      'grpc.default_authority': 'dfw-agent',
    });
    return new AgentClient(client, loadSchema(), socketPath, signal);
  }

  close(): void {
    this.#client.close();
  }

  getFilters(): Promise<FilterView[]> {
    return this.#call(methods.getFilters, {});
  }
  getRules(filter: string, stats: boolean): Promise<RulesView> {
    return this.#call(methods.getRules, { filter, stats });
  }
  getAddressSets(filter: string): Promise<AddressSetsView> {
    return this.#call(methods.getAddressSets, { filter });
  }

  async getFlows(request: FlowsRequest, signal: AbortSignal): Promise<FlowStream> {
    const parts = this.#stream(methods.getFlows, request, signal)[Symbol.asyncIterator]();
    const first = await parts.next();
    if (first.done === true) {
      if (signal.aborted) throw new AgentError('E_CANCELLED', 'the call was cancelled');
      throw new AgentError('E_INTERNAL', 'the agent sent no flow counts');
    }
    if (!('counts' in first.value)) throw new AgentError('E_INTERNAL', 'the agent sent flows before their counts');
    return { counts: first.value.counts, chunks: chunksOf(parts) };
  }

  watchFlows(request: FlowsRequest, signal: AbortSignal): AsyncIterable<FlowEvent> {
    return this.#stream(methods.watchFlows, request, signal);
  }
  getFilterStat(filter: string): Promise<FilterStatView> {
    return this.#call(methods.getFilterStat, { filter });
  }
  getConnCount(filter?: string): Promise<ConnCountView> {
    return this.#call(methods.getConnCount, filter === undefined ? {} : { filter });
  }
  trace(request: TraceRequest): Promise<TraceView> {
    return this.#call(methods.trace, request);
  }
  get(kind: string, namespace?: string, name?: string): Promise<ObjectView[]> {
    return this.#call(methods.get, { kind, ...(namespace === undefined ? {} : { namespace }), ...(name === undefined ? {} : { name }) });
  }
  queryEndpoint(request: EndpointRequest): Promise<EndpointsView> {
    return this.#call(methods.queryEndpoint, request);
  }
  diff(request: DiffRequest): Promise<DiffView> {
    return this.#call(methods.diff, request);
  }
  apply(documents: ManifestInput[], options: { dryRun: boolean }): Promise<ChangeView[]> {
    return this.#call(methods.apply, { documents, dryRun: options.dryRun });
  }
  deleteObjects(objects: ObjectName[]): Promise<ChangeView[]> {
    return this.#call(methods.deleteObjects, objects);
  }
  attach(request: AttachRequest): Promise<ChangeView> {
    return this.#call(methods.attach, request);
  }
  detach(filter: string): Promise<ChangeView> {
    return this.#call(methods.detach, { filter });
  }
  sync(timeoutMs: number): Promise<SyncView> {
    return this.#call(methods.sync, { timeoutMs });
  }
  getEgress(): Promise<EgressStateView> {
    return this.#call(methods.getEgress, {});
  }
  getTrafficControl(): Promise<TrafficControlView[]> {
    return this.#call(methods.getTrafficControl, {});
  }
  getFqdnCache(domain?: string): Promise<FqdnAddressView[]> {
    return this.#call(methods.getFqdnCache, domain === undefined ? {} : { domain });
  }
  getAlerts(request: GetAlertsRequest): Promise<AlertsView> {
    return this.#call(methods.getAlerts, request);
  }
  followAlerts(request: AlertSelection, signal: AbortSignal): AsyncIterable<AlertView> {
    return this.#stream(methods.followAlerts, request, signal);
  }
  async *getAlertPackets(id: string): AsyncGenerator<Uint8Array> {
    for await (const { data } of this.#stream(methods.getAlertPackets, { id }, this.#signal ?? new AbortController().signal)) yield data;
  }
  listQuarantines(): Promise<QuarantineView[]> {
    return this.#call(methods.listQuarantines, {});
  }
  addQuarantine(request: AddQuarantineRequest): Promise<QuarantineView> {
    return this.#call(methods.addQuarantine, request);
  }
  listAddresses(filter?: string): Promise<LearnedAddressView[]> {
    return this.#call(methods.listAddresses, filter === undefined ? {} : { filter });
  }
  approveAddress(request: { filter: string; address: string }): Promise<LearnedAddressView> {
    return this.#call(methods.approveAddress, request);
  }
  releaseAddresses(request: { filter: string; address?: string }): Promise<LearnedAddressView[]> {
    return this.#call(methods.releaseAddresses, request);
  }
  releaseQuarantine(request: { name: string; by: string }): Promise<QuarantineView> {
    return this.#call(methods.releaseQuarantine, request);
  }
  reloadIds(): Promise<ReloadIdsResult> {
    return this.#call(methods.reloadIds, {});
  }
  idsStatus(): Promise<IdsStatusView> {
    return this.#call(methods.idsStatus, {});
  }
  getSignatures(filter: SignatureFilter): Promise<SignaturesView> {
    return this.#call(methods.getSignatures, filter);
  }
  updateSignatures(): Promise<SignatureChangeView> {
    return this.#call(methods.updateSignatures, {});
  }
  rollbackSignatures(): Promise<SignatureChangeView> {
    return this.#call(methods.rollbackSignatures, {});
  }
  async *capture(request: CaptureRequest, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    for await (const { data } of this.#stream(methods.capture, request, signal)) yield data;
  }
  status(): Promise<StatusView> {
    return this.#call(methods.status, {});
  }
  health(): Promise<HealthView> {
    return this.#call(methods.health, {});
  }
  version(): Promise<{ version: string; node: string; kernel: string }> {
    return this.#call(methods.version, {});
  }
  async setLogLevel(level: string): Promise<string> {
    return (await this.#call(methods.setLogLevel, { level })).level;
  }
  cleanup(confirm: boolean): Promise<{ removed: string[] }> {
    return this.#call(methods.cleanup, { confirm });
  }

  #call<Q, A>(method: UnaryMethod<Q, A>, request: Q): Promise<A> {
    const wire = this.#schema.method(method.name);
    const signal = this.#signal;
    return new Promise((resolve, reject) => {
      const cancel = (): void => call.cancel();
      const call = this.#client.makeUnaryRequest(wire.path, wire.requestSerialize, wire.responseDeserialize, encoded(method.request.encode(request)), (error, answer) => {
        signal?.removeEventListener('abort', cancel);
        try {
          if (error !== null) throw fromWireError(error, this.#schema, this.#socketPath);
          resolve(method.response.decode(answer, ''));
        } catch (failure) {
          reject(failure instanceof Error ? failure : new AgentError('E_INTERNAL', String(failure)));
        }
      });
      signal?.addEventListener('abort', cancel, { once: true });
      if (signal?.aborted === true) cancel();
    });
  }

  /** Ends without an error when the signal fires; leaving the loop early cancels the call at the agent. */
  async *#stream<Q, A>(method: StreamMethod<Q, A>, request: Q, signal: AbortSignal): AsyncGenerator<A> {
    if (signal.aborted) return;
    const wire: WireMethod = this.#schema.method(method.name);
    const call: ClientReadableStream<object> = this.#client.makeServerStreamRequest(
      wire.path, wire.requestSerialize, wire.responseDeserialize, encoded(method.request.encode(request)),
    );
    const cancel = (): void => call.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      for await (const part of call) yield method.response.decode(part, '');
    } catch (error) {
      if (!signal.aborted) throw fromWireError(error, this.#schema, this.#socketPath);
    } finally {
      signal.removeEventListener('abort', cancel);
      call.cancel();
    }
  }
}

async function* chunksOf(parts: AsyncIterator<FlowsPart>): AsyncGenerator<Uint8Array> {
  try {
    for (let next = await parts.next(); next.done !== true; next = await parts.next()) {
      if ('data' in next.value) yield next.value.data;
    }
  } finally {
    await parts.return?.();
  }
}

function encoded(value: unknown): object {
  return typeof value === 'object' && value !== null ? value : {};
}

/**
 * A first connection that tells apart what gRPC reports alike. An agent that admits the peer speaks first (HTTP/2 SETTINGS);
 * one that refuses it closes without a word.
 */
function probe(socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    const settle = (error?: AgentError): void => {
      socket.destroy();
      if (error === undefined) resolve();
      else reject(error);
    };
    socket.setTimeout(PROBE_TIMEOUT_MS, () => settle(unreachable(socketPath, 'it accepts connections but does not speak; see its log', undefined)));
    socket.once('data', () => settle());
    socket.once('error', (error) => settle(connectFailure(socketPath, error)));
    socket.once('close', () => settle(new AgentError('E_DENIED', 'the agent refused this user; run as root or join the group of its socket', { object: socketPath })));
  });
}

function connectFailure(socketPath: string, error: Error): AgentError {
  const code: unknown = Reflect.get(error, 'code');
  switch (code) {
    case 'ENOENT':
      return unreachable(socketPath, 'there is no such socket; start dfw-agent, or name its socket with --socket', error);
    case 'ECONNREFUSED':
      return unreachable(socketPath, 'nobody listens there; start dfw-agent', error);
    case 'EACCES':
    case 'EPERM':
      return new AgentError('E_DENIED', 'this user may not open the socket; run as root or join its group', { object: socketPath, cause: error });
    default:
      return unreachable(socketPath, error.message, error);
  }
}

function unreachable(socketPath: string, reason: string, cause: unknown): AgentError {
  return new AgentError('E_UNREACHABLE', `the agent is not reachable: ${reason}`, { object: socketPath, retryable: true, cause });
}
