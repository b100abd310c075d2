/** Learned addresses as text in the state directory. When each was last seen is not kept: it would be written all the time. */
import { AgentError, describeError } from '../../model/errors.js';
import type { Binding, BindingTable } from './binding-table.js';

export interface StoredVnic {
  readonly key: string;
  readonly bindings: readonly Omit<Binding, 'lastSeen'>[];
}

/** Of the form of the file. */
const FORM = 1;

export function storedText(table: BindingTable): string {
  const vnics = [...table.keys()].sort().flatMap((key): StoredVnic[] => {
    const bindings = table.bindings(key).map(({ lastSeen: _, ...rest }) => rest);
    return bindings.length === 0 ? [] : [{ key, bindings }];
  });
  return `${JSON.stringify({ form: FORM, vnics })}\n`;
}

/** @throws AgentError E_IO when it is damaged, or of another form. */
export function readStored(text: string): readonly StoredVnic[] {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || !('form' in value) || value.form !== FORM || !('vnics' in value)) throw new Error('another form');
    const { vnics } = value;
    if (!Array.isArray(vnics) || !vnics.every(isVnic)) throw new Error('damaged');
    return vnics;
  } catch (error) {
    throw new AgentError('E_IO', `the learned addresses stored are damaged: ${describeError(error)}; remove the file to learn anew`, { object: 'addresses.json', cause: error });
  }
}

function isVnic(value: unknown): value is StoredVnic {
  if (typeof value !== 'object' || value === null || !('key' in value) || typeof value.key !== 'string' || !('bindings' in value)) return false;
  return Array.isArray(value.bindings) && value.bindings.every(isBinding);
}

const WAYS: ReadonlySet<unknown> = new Set(['arp', 'nd', 'dhcp', 'dhcpv6']);

function isBinding(value: unknown): value is StoredVnic['bindings'][number] {
  if (typeof value !== 'object' || value === null) return false;
  const field = (name: string): unknown => Reflect.get(value, name);
  const isTime = (time: unknown): boolean => time === undefined || typeof time === 'number';
  return typeof field('address') === 'string' && typeof field('mac') === 'string' && WAYS.has(field('by')) && (field('state') === 'bound' || field('state') === 'pending')
    && typeof field('since') === 'number' && isTime(field('expires')) && isTime(field('leaseMs'));
}
