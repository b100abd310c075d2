/** Actions and instructions as values. Semantics: ovs-actions(7). What the codec does not know comes as `unknown`, unchanged. */
import type { FieldName } from './fields.js';
import type { FieldValue, Subfield } from './oxm.js';

export type Action =
  | OutputAction | OutputFieldAction | OutputTruncatedAction | GroupAction | SetFieldAction | LoadAction | MoveAction | ResubmitAction
  | ConntrackAction | ConntrackClearAction | NatAction | LearnAction | ConjunctionAction | ControllerAction | CloneAction
  | PushVlanAction | PopVlanAction | DecTtlAction | NoteAction | StackAction | CheckPacketLargerAction | MultipathAction | MeterAction | ExitAction | UnknownAction;

export interface OutputAction {
  readonly type: 'output';
  readonly port: number;
  /** Bytes sent to the controller; default 65535 (all) for PORT.CONTROLLER, else 0. */
  readonly maxLength?: number;
}

/** To the port whose number is in the field. */
export interface OutputFieldAction {
  readonly type: 'output_field';
  readonly source: Subfield;
  /** Default 65535. */
  readonly maxLength?: number;
}

/** Output of at most `maxLength` (14 at least) bytes of the packet. */
export interface OutputTruncatedAction {
  readonly type: 'output_truncated';
  readonly port: number;
  readonly maxLength: number;
}

export interface GroupAction {
  readonly type: 'group';
  readonly group: number;
}

export interface SetFieldAction {
  readonly type: 'set_field';
  readonly field: FieldName;
  readonly value: FieldValue;
  readonly mask?: FieldValue;
}

/** Sets some bits. OpenFlow 1.5 has only set_field, which is what such an action is read back as there. */
export interface LoadAction {
  readonly type: 'load';
  readonly target: Subfield;
  readonly value: number | bigint;
}

/** Copies bits; both parts have the same number of bits. */
export interface MoveAction {
  readonly type: 'move';
  readonly source: Subfield;
  readonly target: Subfield;
}

export interface ResubmitAction {
  readonly type: 'resubmit';
  /** in_port for the lookup; default: unchanged (PORT.IN_PORT). */
  readonly port?: number;
  /** Default 255: the same table. */
  readonly table?: number;
  /** Look up with the connection's original tuple instead of the packet's. */
  readonly conntrackTuple?: boolean;
}

export interface ConntrackAction {
  readonly type: 'ct';
  readonly commit?: boolean;
  /** Only with commit. */
  readonly force?: boolean;
  /** A number or 16 bits of a field; default 0. */
  readonly zone?: number | Subfield;
  /** Where the packet goes on after tracking; default: nowhere. */
  readonly table?: number;
  /** 21 FTP, 69 TFTP. */
  readonly alg?: number;
  /** set_field or load of ct_mark and ct_label, move to them, nat. */
  readonly actions?: readonly Action[];
}

export interface ConntrackClearAction {
  readonly type: 'ct_clear';
}

/** Only inside of ct. Without source and destination: what the connection already has. */
export interface NatAction {
  readonly type: 'nat';
  readonly direction?: 'source' | 'destination';
  readonly persistent?: boolean;
  readonly hash?: boolean;
  readonly random?: boolean;
  /** IPv4 as number, IPv6 as bigint. */
  readonly addresses?: { readonly family: 4 | 6; readonly first: number | bigint; readonly last?: number | bigint };
  readonly ports?: { readonly first: number; readonly last?: number };
}

export interface LearnAction {
  readonly type: 'learn';
  readonly table: number;
  /** Seconds; 0 (default): never. */
  readonly idleTimeout?: number;
  readonly hardTimeout?: number;
  readonly finIdleTimeout?: number;
  readonly finHardTimeout?: number;
  /** Default 32768. */
  readonly priority?: number;
  readonly cookie?: bigint;
  readonly sendFlowRemoved?: boolean;
  /** Flows that this action made go with the flow that has it. */
  readonly deleteLearned?: boolean;
  /** Most flows it may make; 0 (default): any number. */
  readonly limit?: number;
  /** One bit: set when the flow was made, cleared when the limit was reached. */
  readonly result?: Subfield;
  readonly specs: readonly LearnSpec[];
}

/** One part of the flow that is made: where its bits come from, and what becomes of them. */
export interface LearnSpec {
  readonly source: { readonly field: FieldName; readonly offset: number } | { readonly value: number | bigint };
  readonly target: { readonly kind: 'match' | 'load'; readonly field: FieldName; readonly offset: number } | { readonly kind: 'output' };
  readonly bits: number;
}

export interface ConjunctionAction {
  readonly type: 'conjunction';
  readonly id: number;
  /** 1..clauses, as ovs-ofctl counts. */
  readonly clause: number;
  /** 2..64 */
  readonly clauses: number;
}

export interface ControllerAction {
  readonly type: 'controller';
  /** Default 65535: all. */
  readonly maxLength?: number;
  readonly controllerId?: number;
  /** OFPR_*; default 1 (action). */
  readonly reason?: number;
  readonly userdata?: Uint8Array;
  /** The packet waits for a resume message. */
  readonly pause?: boolean;
  readonly meter?: number;
}

export interface CloneAction {
  readonly type: 'clone';
  readonly actions: readonly Action[];
}

export interface PushVlanAction {
  readonly type: 'push_vlan';
  /** Default 0x8100. */
  readonly etherType?: number;
}

export interface PopVlanAction {
  readonly type: 'pop_vlan';
}

export interface DecTtlAction {
  readonly type: 'dec_ttl';
  /** Controllers that hear of a TTL that ran out; default only 0. */
  readonly controllers?: readonly number[];
}

/** Does nothing. The switch keeps it with zeros up to a length of 6, 14, 22... bytes. */
export interface NoteAction {
  readonly type: 'note';
  readonly data: Uint8Array;
}

export interface StackAction {
  readonly type: 'stack_push' | 'stack_pop';
  readonly part: Subfield;
}

/** Sets one bit to whether the packet is longer than `length` bytes. */
export interface CheckPacketLargerAction {
  readonly type: 'check_packet_larger';
  readonly length: number;
  readonly target: Subfield;
}

/** A hash of the packet's headers, modulo a number, into a field: NXAST_MULTIPATH (ovs-actions(7)) with algorithm modulo_n and argument 0. */
export interface MultipathAction {
  readonly type: 'multipath';
  readonly fields: keyof typeof HASH_FIELDS;
  /** Default 0. */
  readonly basis?: number;
  /** 1..65536: what comes out is below it. */
  readonly modulus: number;
  /** Must have room for it. */
  readonly target: Subfield;
}

/** In OpenFlow 1.4 it must come first: it is an instruction there. */
export interface MeterAction {
  readonly type: 'meter';
  readonly meter: number;
}

export interface ExitAction {
  readonly type: 'exit';
}

/** As it came, with its header. */
export interface UnknownAction {
  readonly type: 'unknown';
  readonly bytes: Uint8Array;
}

/** A flow without instructions drops. */
export interface Instructions {
  readonly apply?: readonly Action[];
  /** Empties the action set. */
  readonly clear?: boolean;
  /** The action set. */
  readonly write?: readonly Action[];
  readonly metadata?: { readonly value: bigint; readonly mask: bigint };
  readonly goto?: number;
}

/** OFPAT_* */
export const ACTION = { OUTPUT: 0, PUSH_VLAN: 17, POP_VLAN: 18, GROUP: 22, DEC_NW_TTL: 24, SET_FIELD: 25, COPY_FIELD: 28, METER: 29, EXPERIMENTER: 0xffff } as const;

/** NXAST_*: subtypes of Nicira's actions (lib/ofp-actions.c). */
export const NX_ACTION = {
  RESUBMIT: 1, REG_MOVE: 6, REG_LOAD: 7, NOTE: 8, MULTIPATH: 10, RESUBMIT_TABLE: 14, OUTPUT_REG: 15, LEARN: 16, EXIT: 17, CONTROLLER: 20, DEC_TTL_CNT_IDS: 21,
  STACK_PUSH: 27, STACK_POP: 28, CONJUNCTION: 34, CT: 35, NAT: 36, CONTROLLER2: 37, OUTPUT_TRUNC: 39, CLONE: 42, CT_CLEAR: 43,
  RESUBMIT_TABLE_CT: 44, LEARN2: 45, CHECK_PKT_LARGER: 49,
} as const;

/** NXAC2PT_*: properties of the controller action. */
export const CONTROLLER_PROPERTY = { MAX_LENGTH: 0, CONTROLLER_ID: 1, REASON: 2, USERDATA: 3, PAUSE: 4, METER: 5 } as const;

/** NX_MP_ALG_*: the only one that is used. */
export const MODULO_N = 0;

/** OFPIT_* */
export const INSTRUCTION = { GOTO: 1, METADATA: 2, WRITE: 3, APPLY: 4, CLEAR: 5, METER: 6 } as const;

/**
 * NX_HASH_FIELDS_*: what is hashed, the same for both directions. `symmetric_l3l4+udp`: addresses, protocol, and ports of TCP, UDP and SCTP; of what is no IP, the
 * Ethernet addresses.
 */
export const HASH_FIELDS = { symmetric_l4: 1, symmetric_l3l4: 2, 'symmetric_l3l4+udp': 3 } as const;

export const CT_FLAG = { COMMIT: 1, FORCE: 2 } as const;
export const NO_TABLE = 255;
export const NAT_FLAG = { SOURCE: 1, DESTINATION: 2, PERSISTENT: 4, HASH: 8, RANDOM: 16 } as const;
export const NAT_RANGE = { IPV4_MIN: 1, IPV4_MAX: 2, IPV6_MIN: 4, IPV6_MAX: 8, PORT_MIN: 16, PORT_MAX: 32 } as const;
export const LEARN_FLAG = { SEND_FLOW_REMOVED: 1, DELETE_LEARNED: 2, WRITE_RESULT: 4 } as const;
export const LEARN_SPEC = { VALUE: 1 << 13, MATCH: 0, LOAD: 1 << 11, OUTPUT: 2 << 11, TARGET: 3 << 11, BITS: 0x3ff } as const;
export const DEFAULT_PRIORITY = 0x8000;
/** OFPR_* of a packet that an action sent. */
export const REASON_ACTION = 1;
