/**
 * RuleTable and AddressSet manifests ↔ the messages of proto/dfw/v1/rule_table.proto. Messages become manifests, which the decoder of all
 * sources then checks: one vocabulary, one set of rules about what is valid.
 */
import { AgentError, describeError } from '../../../model/errors.js';
import { fieldsOf } from '../../../model/identity.js';
import type { AddressSetObject, RuleTableObject } from '../../../model/objects.js';
import { descriptionFile, readDescription } from '../../../platform/protobuf-file.js';
import { Messages, withUnknownOf } from '../../../platform/protobuf.js';
import { encodeRuleTable } from '../../manifests/encode-rules.js';
import { addressesMessage, addressesOf } from './addresses.js';
import { tableManifest, tableMessage } from './table-message.js';

/** Of rule_table.proto, as this program knows it. */
export const SCHEMA_REVISION = 2;
/** The first that has AddressSet.parts. */
const PARTS_REVISION = 2;
const API_VERSION = 'dfw.dev/v1';
const READER = 'reader';

export interface ReadSet {
  readonly labels: Readonly<Record<string, string>>;
  /** Canonical. */
  readonly hosts: readonly string[];
  /** To be checked. */
  readonly others: readonly unknown[];
  /** Names of its parts; absent: all that are there. */
  readonly parts?: readonly string[];
}

export class RuleTableCodec {
  readonly #messages = new Messages(readDescription(descriptionFile('dfw/v1/rule_table'), 'dfw.v1', 'RuleTable'), { keepUnknown: true });

  /** The bytes at the key of table `name` → a manifest, unchecked. @throws AgentError E_PARSE, E_INVALID. */
  readTable(bytes: Uint8Array, name: string): unknown {
    const message = this.#parse('RuleTable', bytes, name);
    return { apiVersion: API_VERSION, kind: 'RuleTable', metadata: metadataOf(name, message), spec: tableManifest(message) };
  }

  /** Bytes of a set, or of a part of one. @throws AgentError E_PARSE, E_INVALID, E_LIMIT. */
  readSet(bytes: Uint8Array, name: string): ReadSet {
    const message = this.#parse('AddressSet', bytes, name);
    const parts = partsOf(message['parts']);
    return { labels: labelsOf(message['labels']), ...addressesOf(message['addresses'], 'spec.addresses'), ...(parts === undefined ? {} : { parts }) };
  }

  /**
   * A table → bytes. What `previous`, the bytes that this replaces, has and this program does not know is kept: of the table, and of rules
   * and sets that are still there. @throws AgentError E_CONFLICT when `previous` needs a newer program.
   */
  writeTable(table: RuleTableObject, previous?: Uint8Array): Buffer {
    const manifest = fieldsOf(encodeRuleTable(table)) ?? {};
    return this.#write('RuleTable', { name: table.metadata.name, labels: labelList(table.metadata.labels), ...tableMessage(fieldsOf(manifest['spec']) ?? {}, table) }, previous);
  }

  /** As writeTable. `parts`: the set has these and no others. */
  writeSet(set: AddressSetObject, previous?: Uint8Array, parts?: readonly string[]): Buffer {
    const { metadata: { name, labels }, addresses } = set;
    return this.#write('AddressSet', { name, labels: labelList(labels), addresses: addressesMessage(addresses), ...(parts === undefined ? {} : { reader: PARTS_REVISION, parts: { names: parts } }) }, previous);
  }

  /** The same set, which now says what parts it has. @throws AgentError E_PARSE, E_INVALID, E_LIMIT where the bytes are none. */
  withParts(bytes: Uint8Array, name: string, parts: readonly string[]): Buffer {
    const message = this.#parse('AddressSet', bytes, name);
    return this.#messages.serialize('AddressSet', withUnknownOf({ ...message, reader: PARTS_REVISION, parts: { names: parts } }, message));
  }

  #write(type: string, message: Readonly<Record<string, unknown>>, previous: Uint8Array | undefined): Buffer {
    const name = String(message['name']);
    const before = previous === undefined ? undefined : this.#replaced(type, previous, name);
    return this.#messages.serialize(type, before === undefined ? message : withUnknownOf({ ...reader(before), ...message }, before));
  }

  /** What cannot be read at all has nothing to keep. */
  #replaced(type: string, previous: Uint8Array, name: string): Readonly<Record<string, unknown>> | undefined {
    try {
      return this.#parse(type, previous, name);
    } catch (error) {
      if (error instanceof AgentError && error.path === READER) throw new AgentError('E_CONFLICT', `was written by a newer version: ${error.message}`, { object: `${type}/${name}` });
      return undefined;
    }
  }

  #parse(type: string, bytes: Uint8Array, name: string): Readonly<Record<string, unknown>> {
    let parsed: Readonly<Record<string, unknown>>;
    try {
      parsed = fieldsOf(this.#messages.parse(type, bytes)) ?? {};
    } catch (cause) {
      throw new AgentError('E_PARSE', `is no ${type} of proto/dfw/v1/rule_table.proto: ${describeError(cause)}`, { cause });
    }
    const { reader: needed, name: said } = parsed;
    if (typeof needed === 'number' && needed > SCHEMA_REVISION) {
      throw new AgentError('E_LIMIT', `needs a reader of revision ${needed} of rule_table.proto; this one knows ${SCHEMA_REVISION}: upgrade the agent`, { path: READER });
    }
    if (typeof said === 'string' && said !== '' && said !== name) throw new AgentError('E_INVALID', `says ${JSON.stringify(said)}, its key ${JSON.stringify(name)}`, { path: 'name' });
    return parsed;
  }
}

function partsOf(message: unknown): readonly string[] | undefined {
  const fields = fieldsOf(message);
  if (fields === undefined) return undefined;
  const { names } = fields;
  return Array.isArray(names) ? names.map(String) : [];
}

/** What it needed for fields that this program does not know, it needs on; for parts, where it has them. */
function reader(before: Readonly<Record<string, unknown>>): { readonly reader?: unknown } {
  const { reader: needed, parts } = before;
  return needed === undefined || (parts !== undefined && needed === PARTS_REVISION) ? {} : { reader: needed };
}

function metadataOf(name: string, message: Readonly<Record<string, unknown>>): object {
  const labels = labelsOf(message['labels']);
  return { name, ...(Object.keys(labels).length === 0 ? {} : { labels }) };
}

function labelsOf(list: unknown): Readonly<Record<string, string>> {
  if (!Array.isArray(list)) return {};
  return Object.fromEntries(list.map((entry: unknown): [string, string] => {
    const { name = '', value = '' } = fieldsOf(entry) ?? {};
    return [String(name), String(value)];
  }));
}

function labelList(labels: Readonly<Record<string, string>>): object[] {
  return Object.entries(labels).map(([name, value]) => ({ name, value }));
}
