/** Groups (OpenFlow 1.5.1, 7.3.4.3 and 7.3.5.9..11). */
import { decodeActions } from './action-decoder.js';
import { writeActions } from './action-encoder.js';
import { whole } from './action-parts.js';
import type { Action } from './actions.js';
import { ByteReader, malformed, unencodable } from './bytes.js';
import type { ByteWriter } from './bytes.js';
import { ALL_GROUPS, ANY_GROUP, MESSAGE, MULTIPART, OF15, PORT } from './constants.js';
import type { OpenFlowVersion } from './constants.js';
import { buildMessage } from './message.js';
import { buildMultipart, forEachEntry, MULTIPART_BODY } from './multipart.js';
import { forEachProperty, putU16, putU32 } from './properties.js';

const TYPES = ['all', 'select', 'indirect', 'fast_failover'] as const;
export type GroupType = (typeof TYPES)[number];

export interface Bucket {
  /** Only in 1.5; default: its place in the list. */
  readonly id?: number;
  readonly actions: readonly Action[];
  /** In select groups; default 0: never. */
  readonly weight?: number;
  readonly watchPort?: number;
  readonly watchGroup?: number;
}

export interface Group {
  readonly id: number;
  readonly type: GroupType;
  readonly buckets: readonly Bucket[];
}

const COMMAND = { add: 0, modify: 1, delete: 2 } as const;
const ADD_OR_MODIFY = 0x8000;
/** command_bucket_id where no bucket is meant. */
const ALL_BUCKETS = 0xffff_ffff;

/** 'put' adds or replaces (an extension of Open vSwitch). Delete needs only the id; ALL_GROUPS deletes all. E_INVALID when it is too long. */
export function encodeGroupMod(command: 'add' | 'modify' | 'put', group: Group, version: OpenFlowVersion): Buffer {
  return build(version, command === 'put' ? ADD_OR_MODIFY : COMMAND[command], group);
}

/** Absent groups are no error. */
export function encodeGroupDelete(id: number, version: OpenFlowVersion): Buffer {
  return build(version, COMMAND.delete, { id, type: 'all', buckets: [] });
}

function build(version: OpenFlowVersion, command: number, group: Group): Buffer {
  return buildMessage(version, MESSAGE.GROUP_MOD, (writer) => {
    writer.u16(command);
    writer.u8(TYPES.indexOf(group.type));
    writer.u8(0);
    writer.u32(whole(group.id, 32, 'group'));
    const lengthAt = writer.length;
    if (version === OF15) {
      writer.u32(0);
      writer.u32(ALL_BUCKETS);
    }
    const start = writer.length;
    group.buckets.forEach((bucket, index) => (version === OF15 ? writeBucket15(writer, bucket, index, group.type) : writeBucket14(writer, bucket)));
    if (version !== OF15) return;
    const length = writer.length - start;
    if (length > 0xffff) throw unencodable(`group ${String(group.id)} is longer than a message`);
    writer.patch16(lengthAt, length);
  });
}

/** Properties as Open vSwitch writes them, so that groups read back are the same bytes. */
function writeBucket15(writer: ByteWriter, bucket: Bucket, index: number, type: GroupType): void {
  const start = writer.length;
  writer.u32(0);
  writer.u32(bucket.id ?? index);
  const actions = writer.length;
  writeActions(writer, bucket.actions, OF15);
  const actionsLength = writer.length - actions;
  const weight = bucket.weight ?? 0;
  if (type === 'select' || weight !== 0) putU16(writer, 0, whole(weight, 16, 'weight'));
  if (bucket.watchPort !== undefined) putU32(writer, 1, bucket.watchPort);
  if (bucket.watchGroup !== undefined) putU32(writer, 2, bucket.watchGroup);
  const length = writer.length - start;
  if (length > 0xffff) throw unencodable('a bucket is longer than a message');
  writer.patch16(start, length);
  writer.patch16(start + 2, actionsLength);
}

function writeBucket14(writer: ByteWriter, bucket: Bucket): void {
  const start = writer.length;
  writer.u16(0);
  writer.u16(whole(bucket.weight ?? 0, 16, 'weight'));
  writer.u32(bucket.watchPort ?? PORT.ANY);
  writer.u32(bucket.watchGroup ?? ANY_GROUP);
  writer.zeros(4);
  writeActions(writer, bucket.actions, 5);
  const length = writer.length - start;
  if (length > 0xffff) throw unencodable('a bucket is longer than a message');
  writer.patch16(start, length);
}

export function buildGroupDescRequest(version: OpenFlowVersion): Buffer {
  return buildMultipart(version, MULTIPART.GROUP_DESC, (writer) => {
    // Before 1.5 the request has no body.
    if (version !== OF15) return;
    writer.u32(ALL_GROUPS);
    writer.zeros(4);
  });
}

/** Calls `use` for each group of one part of the reply. */
export function readGroupDesc(message: Uint8Array, version: OpenFlowVersion, use: (group: Group) => void): void {
  forEachEntry(message, version === OF15 ? 16 : 8, 0, (entry) => {
    entry.skip(2);
    const type = TYPES[entry.u8()];
    entry.skip(1);
    const id = entry.u32();
    if (type === undefined) throw malformed('a group has an unknown type');
    let list = entry;
    if (version === OF15) {
      const length = entry.u16();
      entry.skip(6);
      list = entry.sub(length);
    }
    const buckets: Bucket[] = [];
    while (list.remaining > 0) buckets.push(version === OF15 ? readBucket15(list) : readBucket14(list));
    use({ id, type, buckets });
  });
}

function readBucket15(list: ByteReader): Bucket {
  const length = list.u16();
  const actionsLength = list.u16();
  if (length < 8) throw malformed('a bucket is too short', { length });
  const bucket = list.sub(length - 4);
  const id = bucket.u32();
  const actions = decodeActions(bucket.take(actionsLength));
  let weight = 0;
  let watchPort: number | undefined;
  let watchGroup: number | undefined;
  forEachProperty(bucket, (type, payload) => {
    if (type === 0) weight = payload.u16();
    else if (type === 1) watchPort = payload.u32();
    else if (type === 2) watchGroup = payload.u32();
  });
  return bucketOf(id, actions, weight, watchPort, watchGroup);
}

function readBucket14(list: ByteReader): Bucket {
  const length = list.u16();
  if (length < 16) throw malformed('a bucket is too short', { length });
  const bucket = list.sub(length - 2);
  const weight = bucket.u16();
  const watchPort = bucket.u32();
  const watchGroup = bucket.u32();
  bucket.skip(4);
  return bucketOf(undefined, decodeActions(bucket.rest()), weight, watchPort === PORT.ANY ? undefined : watchPort, watchGroup === ANY_GROUP ? undefined : watchGroup);
}

function bucketOf(id: number | undefined, actions: readonly Action[], weight: number, watchPort: number | undefined, watchGroup: number | undefined): Bucket {
  return {
    actions, ...(id === undefined ? {} : { id }), ...(weight === 0 ? {} : { weight }),
    ...(watchPort === undefined ? {} : { watchPort }), ...(watchGroup === undefined ? {} : { watchGroup }),
  };
}

export interface GroupStats {
  readonly id: number;
  /** Flows and groups that name it. */
  readonly references: number;
  readonly packets: bigint;
  readonly bytes: bigint;
  readonly duration: number;
  readonly buckets: readonly { readonly packets: bigint; readonly bytes: bigint }[];
}

export function buildGroupStatsRequest(version: OpenFlowVersion, id: number = ALL_GROUPS): Buffer {
  return buildMultipart(version, MULTIPART.GROUP, (writer) => {
    writer.u32(id);
    writer.zeros(4);
  });
}

export function readGroupStats(message: Uint8Array, use: (stats: GroupStats) => void): void {
  forEachEntry(message, 40, 0, (entry) => {
    entry.skip(4);
    const id = entry.u32();
    const references = entry.u32();
    entry.skip(4);
    const packets = entry.u64();
    const bytes = entry.u64();
    const duration = entry.u32() + entry.u32() / 1e9;
    const buckets = [];
    while (entry.remaining >= 16) buckets.push({ packets: entry.u64(), bytes: entry.u64() });
    use({ id, references, packets, bytes, duration, buckets });
  });
}

export interface GroupFeatures {
  /** By type; 0: none of the type. */
  readonly maximum: Readonly<Record<GroupType, number>>;
}

export function buildGroupFeaturesRequest(version: OpenFlowVersion): Buffer {
  return buildMultipart(version, MULTIPART.GROUP_FEATURES);
}

export function readGroupFeatures(message: Uint8Array): GroupFeatures {
  const reader = new ByteReader(message, MULTIPART_BODY);
  reader.skip(8);
  return { maximum: { all: reader.u32(), select: reader.u32(), indirect: reader.u32(), fast_failover: reader.u32() } };
}
