/** Addresses in manifests, made canonical. */
import type { IpBlock } from '../../model/policy-objects.js';
import { canonicalHost, canonicalMac, canonicalMember } from '../../model/address.js';
import { AgentError } from '../../model/errors.js';
import { parsePrefix, strictlyInside } from '../../model/prefix.js';
import { LIMITS } from '../../model/rule.js';
import { NONE, at, refuse } from './checks.js';
import { describe } from './schema-errors.js';

export interface IpBlockManifest { readonly cidr: string; readonly except?: readonly string[] | null }

/** Single addresses, canonical, without duplicates. */
export function decodeHosts(addresses: readonly string[] | null | undefined, path: string): readonly string[] {
  if (addresses === undefined || addresses === null || addresses.length === 0) return NONE;
  const hosts = addresses.map((address, index) => hostAt(address, () => `${path}[${index}]`));
  return hosts.length === 1 ? hosts : [...new Set(hosts)];
}

export function decodeHost(address: string, path: string): string {
  return hostAt(address, () => path);
}

/** `place` is asked for only when there is something to refuse. */
function hostAt(address: string, place: () => string): string {
  try {
    return canonicalHost(address);
  } catch (error) {
    if (error instanceof AgentError) throw new AgentError(error.code, error.message, { path: place(), cause: error });
    throw error;
  }
}

/** Members of an address set: strings, canonical, at most LIMITS.addressesPerSet. The very list that was given where all of it is canonical. */
export function decodeMembers(addresses: readonly unknown[], path: string): readonly string[] {
  if (addresses.length > LIMITS.addressesPerSet) {
    throw refuse(path, `${addresses.length} addresses; the limit is ${LIMITS.addressesPerSet} (addressesPerSet)`, 'E_LIMIT');
  }
  const members = addresses.map((address, index) => {
    if (typeof address !== 'string') throw refuse(`${path}[${index}]`, `must be an address in a string, is ${describe(address)}`);
    try {
      return canonicalMember(address);
    } catch (error) {
      if (error instanceof AgentError) throw new AgentError(error.code, error.message, { path: `${path}[${index}]`, cause: error });
      throw error;
    }
  });
  // One list for manifest and object, also after their way between threads, which copies every string of two lists.
  return isSame(addresses, members) ? addresses : members;
}

function isSame(given: readonly unknown[], members: readonly string[]): given is readonly string[] {
  return given.every((address, index) => address === members[index]);
}

export function decodeMac(mac: string, path: string): string {
  return at(path, () => canonicalMac(mac));
}

/** A prefix, host bits cleared. */
export function decodePrefix(text: string, path: string): string {
  return at(path, () => parsePrefix(text)).text;
}

export function decodeIpBlock(block: IpBlockManifest, path: string): IpBlock {
  const cidr = at(`${path}.cidr`, () => parsePrefix(block.cidr));
  const { except } = block;
  if (except === undefined || except === null || except.length === 0) return { cidr: cidr.text, except: NONE };
  return {
    cidr: cidr.text,
    except: except.map((text, index) => {
      const place = `${path}.except[${index}]`;
      const prefix = at(place, () => parsePrefix(text));
      if (!strictlyInside(prefix, cidr)) throw refuse(place, `${prefix.text} is not a part of ${cidr.text}`);
      return prefix.text;
    }),
  };
}
