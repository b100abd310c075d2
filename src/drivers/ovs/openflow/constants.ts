/** Numbers of OpenFlow 1.4 and 1.5 (ONF TS-020, TS-025) and of Open vSwitch's extensions (include/openflow/nicira-ext.h). */

/** The version byte on the wire. */
export const OF14 = 5;
export const OF15 = 6;
export type OpenFlowVersion = typeof OF14 | typeof OF15;

export function versionName(version: number): string {
  return `OpenFlow 1.${String(version - 1)}`;
}

/** OFPT_*: `type` in the header. */
export const MESSAGE = {
  HELLO: 0, ERROR: 1, ECHO_REQUEST: 2, ECHO_REPLY: 3, EXPERIMENTER: 4, FEATURES_REQUEST: 5, FEATURES_REPLY: 6,
  GET_CONFIG_REQUEST: 7, GET_CONFIG_REPLY: 8, SET_CONFIG: 9, PACKET_IN: 10, FLOW_REMOVED: 11, PORT_STATUS: 12, PACKET_OUT: 13,
  FLOW_MOD: 14, GROUP_MOD: 15, PORT_MOD: 16, TABLE_MOD: 17, MULTIPART_REQUEST: 18, MULTIPART_REPLY: 19, BARRIER_REQUEST: 20,
  BARRIER_REPLY: 21, SET_ASYNC: 28, METER_MOD: 29, TABLE_STATUS: 31, BUNDLE_CONTROL: 33, BUNDLE_ADD_MESSAGE: 34,
} as const;

/** OFPMP_*: `type` of a multipart message. FLOW is OFPMP_FLOW_DESC in 1.5 and OFPMP_FLOW before: the same number. */
export const MULTIPART = {
  DESC: 0, FLOW: 1, AGGREGATE: 2, TABLE: 3, PORT_STATS: 4, GROUP: 6, GROUP_DESC: 7, GROUP_FEATURES: 8, METER: 9, METER_CONFIG: 10,
  METER_FEATURES: 11, PORT_DESC: 13, FLOW_MONITOR: 16,
} as const;

/** Experimenter ids. */
export const VENDOR = { NICIRA: 0x0000_2320, ONF: 0x4f4e_4600 } as const;

/** Subtypes of Nicira's messages. */
export const NICIRA_MESSAGE = { SET_PACKET_IN_FORMAT: 16, SET_CONTROLLER_ID: 20, RESUME: 28, PACKET_IN2: 30 } as const;

/** OFPP_*: reserved port numbers; real ports are 1..0xfeff in Open vSwitch. */
export const PORT = {
  MAX: 0xffff_ff00, IN_PORT: 0xffff_fff8, TABLE: 0xffff_fff9, NORMAL: 0xffff_fffa, FLOOD: 0xffff_fffb, ALL: 0xffff_fffc,
  CONTROLLER: 0xffff_fffd, LOCAL: 0xffff_fffe, ANY: 0xffff_ffff,
} as const;

export const ALL_TABLES = 255;
export const ANY_GROUP = 0xffff_ffff;
export const ALL_GROUPS = 0xffff_fffc;
export const ALL_METERS = 0xffff_ffff;
export const NO_BUFFER = 0xffff_ffff;
/** `maxLength` of packets sent to the controller: all of it. */
export const WHOLE_PACKET = 0xffff;

export const HEADER_LENGTH = 8;
/** The length field has 16 bits. */
export const LARGEST_MESSAGE = 0xffff;

/**
 * 16-bit port numbers of Nicira's actions: the reserved ones are the low half of OpenFlow's. Undefined when the port has no
 * such number.
 */
export function port16(port: number): number | undefined {
  if (port >= PORT.IN_PORT && port <= PORT.ANY) return port & 0xffff;
  return Number.isInteger(port) && port >= 0 && port < 0xff00 ? port : undefined;
}

export function port32(port: number): number {
  return port >= 0xff00 ? (0xffff_0000 | port) >>> 0 : port;
}
