/** Addresses as the compiled tables key them. */
import { v4FromText, v6FromText } from '../model/address.js';
import { key6, type Key6 } from './key6.js';
import type { DeclaredAddresses } from './compiled.js';

export type AddressKey = { readonly family: 4; readonly key: number } | { readonly family: 6; readonly key: Key6 };

/** Undefined when the text is no host address. */
export function addressKey(text: string): AddressKey | undefined {
  const four = v4FromText(text);
  if (four !== undefined) return { family: 4, key: four };
  const six = v6FromText(text);
  return six === undefined ? undefined : { family: 6, key: key6(six.hi, six.lo) };
}

/** `text` is equal only for the same addresses. */
export type LocalKeys = DeclaredAddresses & { readonly text: string };

/** Distinct keys of host addresses. */
export function localKeys(addresses: readonly string[]): LocalKeys {
  const distinct = [...new Set(addresses)].sort();
  const v4 = new Set<number>();
  const v6 = new Set<Key6>();
  for (const text of distinct) {
    const key = addressKey(text);
    if (key?.family === 4) v4.add(key.key);
    else if (key?.family === 6) v6.add(key.key);
  }
  return { v4, v6, text: distinct.join() };
}
