/** Which AgentApi method answers which rpc. Requests are decoded and answers encoded around these; see server.ts. */
import type { AgentApi, FlowsRequest } from './agent-api.js';
import type { FlowsPart, StreamMethod, UnaryMethod } from './methods.js';
import { methods } from './methods.js';

export interface UnaryHandler {
  readonly kind: 'unary';
  readonly name: string;
  handle(request: unknown): Promise<unknown>;
}
export interface StreamHandler {
  readonly kind: 'stream';
  readonly name: string;
  /** Ends when the source does or soon after the signal fires. */
  handle(request: unknown, signal: AbortSignal): AsyncIterable<unknown>;
}

function unary<Q, A>(method: UnaryMethod<Q, A>, answer: (request: Q) => Promise<A>): UnaryHandler {
  return {
    kind: 'unary',
    name: method.name,
    async handle(wire) {
      return method.response.encode(await answer(method.request.decode(wire, '')));
    },
  };
}

function stream<Q, A>(method: StreamMethod<Q, A>, answer: (request: Q, signal: AbortSignal) => AsyncIterable<A>): StreamHandler {
  return {
    kind: 'stream',
    name: method.name,
    async *handle(wire, signal) {
      for await (const part of answer(method.request.decode(wire, ''), signal)) yield method.response.encode(part);
    },
  };
}

async function* flowParts(api: AgentApi, request: FlowsRequest, signal: AbortSignal): AsyncGenerator<FlowsPart> {
  const flows = await api.getFlows(request, signal);
  yield { counts: flows.counts };
  for await (const data of flows.chunks) yield { data };
}

async function* dataParts(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<{ data: Uint8Array }> {
  for await (const data of chunks) yield { data };
}

/** The answer of a method that answers at once; what it throws becomes a rejection. */
function soon<A>(answer: () => A): Promise<A> {
  return new Promise((resolve) => resolve(answer()));
}

export function handlersOf(api: AgentApi): (UnaryHandler | StreamHandler)[] {
  return [
    unary(methods.getFilters, () => api.getFilters()),
    unary(methods.getRules, ({ filter, stats }) => api.getRules(filter, stats)),
    unary(methods.getAddressSets, ({ filter }) => api.getAddressSets(filter)),
    stream(methods.getFlows, (request, signal) => flowParts(api, request, signal)),
    stream(methods.watchFlows, (request, signal) => api.watchFlows(request, signal)),
    unary(methods.getFilterStat, ({ filter }) => api.getFilterStat(filter)),
    unary(methods.getConnCount, ({ filter }) => api.getConnCount(filter)),
    unary(methods.trace, (request) => api.trace(request)),
    unary(methods.get, ({ kind, namespace, name }) => api.get(kind, namespace, name)),
    unary(methods.queryEndpoint, (request) => api.queryEndpoint(request)),
    unary(methods.diff, (request) => api.diff(request)),
    unary(methods.apply, ({ documents, dryRun }) => api.apply(documents, { dryRun })),
    unary(methods.deleteObjects, (objects) => api.deleteObjects(objects)),
    unary(methods.attach, (request) => api.attach(request)),
    unary(methods.detach, ({ filter }) => api.detach(filter)),
    unary(methods.sync, ({ timeoutMs }) => api.sync(timeoutMs)),
    unary(methods.getTrafficControl, () => api.getTrafficControl()),
    unary(methods.getEgress, () => api.getEgress()),
    unary(methods.getFqdnCache, ({ domain }) => api.getFqdnCache(domain)),
    unary(methods.getAlerts, (request) => api.getAlerts(request)),
    stream(methods.followAlerts, (request, signal) => api.followAlerts(request, signal)),
    stream(methods.getAlertPackets, ({ id }) => dataParts(api.getAlertPackets(id))),
    unary(methods.listQuarantines, () => api.listQuarantines()),
    unary(methods.addQuarantine, (request) => api.addQuarantine(request)),
    unary(methods.releaseQuarantine, (request) => api.releaseQuarantine(request)),
    unary(methods.listAddresses, ({ filter }) => api.listAddresses(filter)),
    unary(methods.approveAddress, (request) => api.approveAddress(request)),
    unary(methods.releaseAddresses, (request) => api.releaseAddresses(request)),
    unary(methods.reloadIds, () => api.reloadIds()),
    unary(methods.idsStatus, () => api.idsStatus()),
    unary(methods.getSignatures, (filter) => api.getSignatures(filter)),
    unary(methods.updateSignatures, () => api.updateSignatures()),
    unary(methods.rollbackSignatures, () => api.rollbackSignatures()),
    stream(methods.capture, (request, signal) => dataParts(api.capture(request, signal))),
    unary(methods.status, () => api.status()),
    unary(methods.health, () => api.health()),
    unary(methods.version, () => soon(() => api.version())),
    unary(methods.setLogLevel, ({ level }) => soon(() => ({ level: api.setLogLevel(level) }))),
    unary(methods.cleanup, ({ confirm }) => api.cleanup(confirm)),
  ];
}
