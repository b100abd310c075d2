/** Every method of the API: its name in agent.proto, what it takes and what it gives. Server and client share this table. */
import type { AddQuarantineRequest, AttachRequest, DiffRequest, EndpointRequest, FlowsRequest, ManifestInput, ReloadIdsResult } from './agent-api.js';
import type { AlertSelection, FlowCounts, FlowView, SignatureFilter, TraceRequest } from '../model/views.js';
import { AgentError } from '../model/errors.js';
import { bytes, flag, json, list, message, number, oneOf, optional, text } from './codec.js';
import type { Field, Fields } from './codec.js';
import * as view from './views-codec.js';

/** One request, one answer. */
export interface UnaryMethod<Q, A> { readonly kind: 'unary'; readonly name: string; readonly request: Field<Q>; readonly response: Field<A> }
/** One request, a stream of answers. */
export interface StreamMethod<Q, A> { readonly kind: 'stream'; readonly name: string; readonly request: Field<Q>; readonly response: Field<A> }

function unary<Q, A>(name: string, request: Field<Q>, response: Field<A>): UnaryMethod<Q, A> {
  return { kind: 'unary', name, request, response };
}
function stream<Q, A>(name: string, request: Field<Q>, response: Field<A>): StreamMethod<Q, A> {
  return { kind: 'stream', name, request, response };
}

export type Empty = Record<never, never>;
export type FlowsPart = { readonly counts: FlowCounts } | { readonly data: Uint8Array };
export interface FlowEvent { event: 'new' | 'end'; flow: FlowView }
export interface ObjectName { kind: string; namespace?: string; name: string }
export interface GetAlertsRequest extends AlertSelection { sinceMs?: number; limit?: number }
export interface CaptureRequest { filter: string; count?: number; seconds?: number; snaplen?: number; expression?: string }

const empty = message<Empty>({});
const byFilter = message<{ filter: string }>({ filter: text });
const flowsRequest = message<FlowsRequest>({
  filter: optional(text), all: optional(flag), ruleId: optional(number), format: oneOf('text', 'json'),
});

const countsPart = message<{ counts: FlowCounts }>({ counts: view.flowCounts });
const dataPart = message<{ data: Uint8Array }>({ data: bytes });
const flowsPart: Field<FlowsPart> = {
  presence: 'required',
  encode: (part) => ('counts' in part ? countsPart.encode(part) : dataPart.encode(part)),
  decode: (wire, path) => (holds(wire, 'counts') ? countsPart.decode(wire, path) : dataPart.decode(wire, path)),
};

const documentInput = message<{ document: unknown }>({ document: json }, { document: 'documentJson' });
const rulesText = message<{ text: string; name: string }>({ text, name: text });
const manifestInput: Field<ManifestInput> = {
  presence: 'required',
  encode: (input) => ('document' in input ? documentInput.encode(input) : { rules: rulesText.encode({ text: input.rulesText, name: input.name }) }),
  decode(wire, path) {
    if (holds(wire, 'rules')) {
      const rules = rulesText.decode(Reflect.get(wire, 'rules'), `${path}.rules`);
      return { rulesText: rules.text, name: rules.name };
    }
    if (holds(wire, 'documentJson')) return documentInput.decode(wire, path);
    throw new AgentError('E_INVALID', 'a manifest is a document or a rules text', { path });
  },
};

function holds(wire: unknown, key: string): wire is object {
  return typeof wire === 'object' && wire !== null && Reflect.get(wire, key) !== undefined;
}

/** A message around one list, so that answers can grow fields later. */
function wrapped<K extends string, T>(key: K, item: Field<T>): Field<T[]> {
  const items = list(item);
  return {
    presence: 'required',
    encode: (values) => ({ [key]: items.encode(values) }),
    decode: (wire, path) => items.decode(typeof wire === 'object' && wire !== null ? Reflect.get(wire, key) : undefined, path === '' ? key : `${path}.${key}`),
  };
}

const alertSelection: Fields<AlertSelection> = {
  workload: optional(text), minSeverity: optional(number), signatureId: optional(number), category: optional(text),
};

export const methods = {
  getFilters: unary('GetFilters', empty, wrapped('filters', view.filter)),
  getRules: unary('GetRules', message<{ filter: string; stats: boolean }>({ filter: text, stats: flag }), view.rules),
  getAddressSets: unary('GetAddressSets', byFilter, view.addressSets),
  getFlows: stream('GetFlows', flowsRequest, flowsPart),
  watchFlows: stream('WatchFlows', flowsRequest, message<FlowEvent>({ event: oneOf('new', 'end'), flow: view.flow })),
  getFilterStat: unary('GetFilterStat', byFilter, view.filterStat),
  getConnCount: unary('GetConnCount', message<{ filter?: string }>({ filter: optional(text) }), view.connCount),
  trace: unary('Trace', message<TraceRequest>({
    from: text, to: text, protocol: optional(text), sourcePort: optional(number), destinationPort: optional(number),
    icmpType: optional(number), icmpCode: optional(number),
  }), view.trace),
  get: unary('Get', message<{ kind: string; namespace?: string; name?: string }>({ kind: text, namespace: optional(text), name: optional(text) }),
    wrapped('objects', view.object)),
  queryEndpoint: unary('QueryEndpoint', message<EndpointRequest>({ namespace: text, name: text }), view.endpoints),
  diff: unary('Diff', message<DiffRequest>({ documents: list(manifestInput), delete: flag, own: flag }), view.diff),
  apply: unary('Apply', message<{ documents: ManifestInput[]; dryRun: boolean }>({ documents: list(manifestInput), dryRun: flag }),
    wrapped('changes', view.change)),
  deleteObjects: unary('Delete', wrapped('objects', message<ObjectName>({ kind: text, namespace: optional(text), name: text })),
    wrapped('changes', view.change)),
  attach: unary('Attach', message<AttachRequest>({
    workload: view.workload, vnic: text, interface: text, mac: optional(text), addresses: list(text),
  }), view.change),
  detach: unary('Detach', byFilter, view.change),
  sync: unary('Sync', message<{ timeoutMs: number }>({ timeoutMs: number }), view.sync),
  getEgress: unary('GetEgress', empty, view.egressState),
  getTrafficControl: unary('GetTrafficControl', empty, wrapped('trafficControls', view.trafficControl)),
  getFqdnCache: unary('GetFqdnCache', message<{ domain?: string }>({ domain: optional(text) }), wrapped('entries', view.fqdnAddress)),
  getAlerts: unary('GetAlerts', message<GetAlertsRequest>({
    ...alertSelection, sinceMs: optional(number), limit: optional(number),
  }), view.alerts),
  followAlerts: stream('FollowAlerts', message<AlertSelection>(alertSelection), view.alert),
  getAlertPackets: stream('GetAlertPackets', message<{ id: string }>({ id: text }), message<{ data: Uint8Array }>({ data: bytes })),
  listQuarantines: unary('ListQuarantines', empty, wrapped('quarantines', view.quarantine)),
  addQuarantine: unary('AddQuarantine', message<AddQuarantineRequest>({ workload: view.workload, durationMs: number, reason: text, by: text }), view.quarantine),
  listAddresses: unary('ListAddresses', message<{ filter?: string }>({ filter: optional(text) }), wrapped('addresses', view.learnedAddress)),
  approveAddress: unary('ApproveAddress', message<{ filter: string; address: string }>({ filter: text, address: text }), view.learnedAddress),
  releaseAddresses: unary('ReleaseAddresses', message<{ filter: string; address?: string }>({ filter: text, address: optional(text) }), wrapped('addresses', view.learnedAddress)),
  releaseQuarantine: unary('ReleaseQuarantine', message<{ name: string; by: string }>({ name: text, by: text }), view.quarantine),
  reloadIds: unary('ReloadIds', empty, message<ReloadIdsResult>({ reloaded: flag, detail: text, faults: list(view.signatureFault) })),
  idsStatus: unary('GetIdsStatus', empty, view.idsStatus),
  getSignatures: unary('GetSignatures', message<SignatureFilter>({
    sid: optional(number), severity: optional(number), category: optional(text), enabled: optional(flag),
  }), view.signatures),
  updateSignatures: unary('UpdateSignatures', empty, view.signatureChange),
  rollbackSignatures: unary('RollbackSignatures', empty, view.signatureChange),
  capture: stream('Capture', message<CaptureRequest>({
    filter: text, count: optional(number), seconds: optional(number), snaplen: optional(number), expression: optional(text),
  }), message<{ data: Uint8Array }>({ data: bytes })),
  status: unary('GetStatus', empty, view.status),
  health: unary('GetHealth', empty, view.health),
  version: unary('GetVersion', empty, message<{ version: string; node: string; kernel: string }>({ version: text, node: text, kernel: text })),
  setLogLevel: unary('SetLogLevel', message<{ level: string }>({ level: text }), message<{ level: string }>({ level: text })),
  cleanup: unary('Cleanup', message<{ confirm: boolean }>({ confirm: flag }), message<{ removed: string[] }>({ removed: list(text) })),
} as const;
