/** Errors that a switch sends: names of types and codes (OpenFlow 1.5.1, 7.5.4; include/openvswitch/ofp-errors.h). */
import { AgentError } from '../../../model/errors.js';
import type { ErrorCode } from '../../../model/errors.js';
import { ByteReader } from './bytes.js';
import { HEADER_LENGTH, VENDOR } from './constants.js';

const EXPERIMENTER = 0xffff;

interface TypeNames {
  readonly name: string;
  /** Prefix of the codes' names. */
  readonly prefix: string;
  readonly codes: Readonly<Record<number, string>>;
}

function codes(names: string): Record<number, string> {
  return Object.fromEntries(names.split(' ').map((name, index) => [index, name]));
}

const TYPES: Readonly<Record<number, TypeNames>> = {
  0: { name: 'hello failed', prefix: 'OFPHFC', codes: codes('INCOMPATIBLE EPERM') },
  1: {
    name: 'bad request', prefix: 'OFPBRC',
    codes: codes('BAD_VERSION BAD_TYPE BAD_MULTIPART BAD_EXPERIMENTER BAD_EXP_TYPE EPERM BAD_LEN BUFFER_EMPTY BUFFER_UNKNOWN BAD_TABLE_ID IS_SECONDARY BAD_PORT BAD_PACKET MULTIPART_BUFFER_OVERFLOW MULTIPART_REQUEST_TIMEOUT MULTIPART_REPLY_TIMEOUT MULTIPART_BAD_SCHED PIPELINE_FIELDS_ONLY UNKNOWN'),
  },
  2: {
    name: 'bad action', prefix: 'OFPBAC',
    codes: codes('BAD_TYPE BAD_LEN BAD_EXPERIMENTER BAD_EXP_TYPE BAD_OUT_PORT BAD_ARGUMENT EPERM TOO_MANY BAD_QUEUE BAD_OUT_GROUP MATCH_INCONSISTENT UNSUPPORTED_ORDER BAD_TAG BAD_SET_TYPE BAD_SET_LEN BAD_SET_ARGUMENT BAD_SET_MASK BAD_METER'),
  },
  3: { name: 'bad instruction', prefix: 'OFPBIC', codes: codes('UNKNOWN_INST UNSUP_INST BAD_TABLE_ID UNSUP_METADATA UNSUP_METADATA_MASK BAD_EXPERIMENTER BAD_EXP_TYPE BAD_LEN EPERM DUP_INST') },
  4: {
    name: 'bad match', prefix: 'OFPBMC',
    codes: codes('BAD_TYPE BAD_LEN BAD_TAG BAD_DL_ADDR_MASK BAD_NW_ADDR_MASK BAD_WILDCARDS BAD_FIELD BAD_VALUE BAD_MASK BAD_PREREQ DUP_FIELD EPERM'),
  },
  5: { name: 'flow refused', prefix: 'OFPFMFC', codes: codes('UNKNOWN TABLE_FULL BAD_TABLE_ID OVERLAP EPERM BAD_TIMEOUT BAD_COMMAND BAD_FLAGS CANT_SYNC BAD_PRIORITY IS_SYNC') },
  6: {
    name: 'group refused', prefix: 'OFPGMFC',
    codes: codes('GROUP_EXISTS INVALID_GROUP WEIGHT_UNSUPPORTED OUT_OF_GROUPS OUT_OF_BUCKETS CHAINING_UNSUPPORTED WATCH_UNSUPPORTED LOOP UNKNOWN_GROUP CHAINED_GROUP BAD_TYPE BAD_COMMAND BAD_BUCKET BAD_WATCH EPERM UNKNOWN_BUCKET BUCKET_EXISTS'),
  },
  7: { name: 'port change refused', prefix: 'OFPPMFC', codes: codes('BAD_PORT BAD_HW_ADDR BAD_CONFIG BAD_ADVERTISE EPERM') },
  8: { name: 'table change refused', prefix: 'OFPTMFC', codes: codes('BAD_TABLE BAD_CONFIG EPERM') },
  9: { name: 'queue operation failed', prefix: 'OFPQOFC', codes: codes('BAD_PORT BAD_QUEUE EPERM') },
  10: { name: 'configuration refused', prefix: 'OFPSCFC', codes: codes('BAD_FLAGS BAD_LEN EPERM') },
  11: { name: 'role refused', prefix: 'OFPRRFC', codes: codes('STALE UNSUP BAD_ROLE ID_UNSUP ID_IN_USE') },
  12: {
    name: 'meter refused', prefix: 'OFPMMFC',
    codes: codes('UNKNOWN METER_EXISTS INVALID_METER UNKNOWN_METER BAD_COMMAND BAD_FLAGS BAD_RATE BAD_BURST BAD_BAND BAD_BAND_VALUE OUT_OF_METERS OUT_OF_BANDS'),
  },
  13: { name: 'table features refused', prefix: 'OFPTFFC', codes: codes('BAD_TABLE BAD_METADATA BAD_TYPE BAD_LEN BAD_ARGUMENT EPERM BAD_CAPA BAD_MAX_ENT BAD_FEATURES BAD_COMMAND TOO_MANY') },
  14: { name: 'bad property', prefix: 'OFPBPC', codes: codes('BAD_TYPE BAD_LEN BAD_VALUE TOO_MANY DUP_TYPE BAD_EXPERIMENTER BAD_EXP_TYPE BAD_EXP_VALUE EPERM') },
  15: { name: 'asynchronous configuration refused', prefix: 'OFPACFC', codes: codes('INVALID UNSUPPORTED EPERM') },
  16: { name: 'flow monitor refused', prefix: 'OFPMOFC', codes: codes('UNKNOWN MONITOR_EXISTS INVALID_MONITOR UNKNOWN_MONITOR BAD_COMMAND BAD_FLAGS BAD_TABLE_ID BAD_OUT') },
  17: {
    name: 'bundle failed', prefix: 'OFPBFC',
    codes: codes('UNKNOWN EPERM BAD_ID BUNDLE_EXIST BUNDLE_CLOSED OUT_OF_BUNDLES BAD_TYPE BAD_FLAGS MSG_BAD_LEN MSG_BAD_XID MSG_UNSUP MSG_CONFLICT MSG_TOO_MANY MSG_FAILED TIMEOUT BUNDLE_IN_PROGRESS SCHED_NOT_SUPPORTED'),
  },
};

/** Open vSwitch's own, by type: they have no codes. */
const NICIRA: Readonly<Record<number, string>> = {
  2: 'NXBRC_NXM_INVALID', 3: 'NXBRC_NXM_BAD_TYPE', 4: 'NXBRC_MUST_BE_ZERO', 5: 'NXBRC_BAD_REASON', 9: 'NXBRC_FM_BAD_EVENT', 10: 'NXBRC_UNENCODABLE_ERROR',
  11: 'NXBAC_MUST_BE_ZERO', 12: 'NXFMFC_HARDWARE', 13: 'NXFMFC_BAD_TABLE_ID', 15: 'NXBAC_BAD_CONJUNCTION', 23: 'NXQOFC_QUEUE_ERROR',
  16: 'NXTTMFC_BAD_COMMAND', 17: 'NXTTMFC_BAD_OPT_LEN', 18: 'NXTTMFC_BAD_FIELD_IDX', 19: 'NXTTMFC_TABLE_FULL', 20: 'NXTTMFC_ALREADY_MAPPED', 21: 'NXTTMFC_DUP_ENTRY',
  34: 'NXR_NOT_SUPPORTED', 35: 'NXR_STALE', 36: 'NXST_NOT_CONFIGURED', 37: 'NXFMFC_INVALID_TLV_FIELD', 38: 'NXTTMFC_INVALID_TLV_DEL',
  39: 'NXBAC_BAD_HEADER_TYPE', 40: 'NXBAC_UNKNOWN_ED_PROP', 41: 'NXBAC_BAD_ED_PROP', 42: 'NXBAC_CT_DATAPATH_SUPPORT', 43: 'NXBMC_CT_DATAPATH_SUPPORT', 44: 'NXTFFC_DUP_TABLE',
};

export interface SwitchError {
  readonly type: number;
  readonly code: number;
  /** 0 for OpenFlow's own. */
  readonly experimenter: number;
  /** The name that ovs-ofctl prints, such as OFPBMC_BAD_PREREQ; "type 99 code 3" where we have none. */
  readonly name: string;
  /** In words, or "". */
  readonly summary: string;
  /** What the switch quotes of the message that it refused. */
  readonly data: Uint8Array;
}

/** `message` is the whole error message. */
export function readError(message: Uint8Array): SwitchError {
  const reader = new ByteReader(message);
  reader.skip(HEADER_LENGTH);
  const type = reader.u16();
  const code = reader.u16();
  if (type === EXPERIMENTER) {
    const experimenter = reader.u32();
    const name = experimenter === VENDOR.NICIRA ? NICIRA[code] : undefined;
    return { type, code, experimenter, name: name ?? `experimenter 0x${experimenter.toString(16)} type ${String(code)}`, summary: '', data: reader.rest() };
  }
  const known = TYPES[type];
  const codeName = known?.codes[code];
  const name = known === undefined || codeName === undefined ? `type ${String(type)} code ${String(code)}` : `${known.prefix}_${codeName}`;
  return { type, code, experimenter: 0, name, summary: known?.name ?? '', data: reader.rest() };
}

const LIMITS = new Set(['OFPFMFC_TABLE_FULL', 'OFPGMFC_OUT_OF_GROUPS', 'OFPGMFC_OUT_OF_BUCKETS', 'OFPMMFC_OUT_OF_METERS', 'OFPMMFC_OUT_OF_BANDS', 'OFPBFC_OUT_OF_BUNDLES', 'OFPBFC_MSG_TOO_MANY']);
/** The last is what a bundle that waited too long is told. */
const RETRYABLE = new Set(['OFPBFC_TIMEOUT', 'OFPBFC_BUNDLE_IN_PROGRESS', 'OFPBFC_OUT_OF_BUNDLES', 'OFPBRC_MULTIPART_REPLY_TIMEOUT', 'OFPBFC_BAD_ID']);

/** What a caller sees: E_LIMIT where something is full, else E_IO. The context has the numbers. */
export function refused(error: SwitchError, what: string, context: Readonly<Record<string, unknown>> = {}): AgentError {
  const code: ErrorCode = LIMITS.has(error.name) ? 'E_LIMIT' : 'E_IO';
  const reason = error.summary === '' ? error.name : `${error.summary}: ${error.name}`;
  return new AgentError(code, `the switch refused ${what} (${reason})`, {
    object: 'openflow', retryable: RETRYABLE.has(error.name), context: { type: error.type, code: error.code, name: error.name, ...context },
  });
}
