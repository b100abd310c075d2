/** Which version of IP a host address, canonical or not, is of. */
export function familyOf(address: string): 4 | 6 {
  return address.includes(':') ? 6 : 4;
}
