/** What a frame can say about who has which address. */
export type LearnedBy = 'arp' | 'nd' | 'dhcp' | 'dhcpv6';

export interface Lease {
  /** Canonical. */
  readonly address: string;
  /** Infinity = for ever; 0 = it ends now. */
  readonly seconds: number;
}

export type Sighting =
  /** The workload says that the address is its own. */
  | { readonly kind: 'claim'; readonly by: 'arp' | 'nd'; readonly address: string; readonly mac: string }
  /** It asks a server. `client`: who asks, as the answer names him, and which of his questions it is. */
  | { readonly kind: 'question'; readonly by: 'dhcp' | 'dhcpv6'; readonly client: string; readonly transaction: string; readonly mac: string }
  | { readonly kind: 'answer'; readonly by: 'dhcp' | 'dhcpv6'; readonly client: string; readonly transaction: string; readonly server: string; readonly leases: readonly Lease[] };
