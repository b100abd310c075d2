/** What was learned, for people: one row an address. */
import type { WorkloadReference } from '../../model/objects.js';
import type { Binding, BindingTable, LearningMode } from './binding-table.js';
import type { LearningVnic } from './learning-vnics.js';
import type { LearnedBy } from './sighting.js';

export interface BindingRow {
  readonly attachment: string;
  readonly workload: WorkloadReference;
  readonly vnic: string;
  readonly interface: string;
  readonly mode: LearningMode;
  readonly address: string;
  readonly by: LearnedBy;
  readonly mac: string;
  /** conflict: somebody else (`owner`) has it; it is not given out. */
  readonly state: 'bound' | 'pending' | 'conflict';
  /** '' but for conflicts. */
  readonly owner: string;
  /** ms since 1970. */
  readonly since: number;
  readonly lastSeen: number;
  readonly expires?: number;
}

/** `ownerOf`: of the address, but for the workload with the key. `nameOf`: of a vNIC's key, for people. */
export function bindingRows(
  vnics: readonly LearningVnic[], table: BindingTable, ownerOf: (address: string, workloadKey: string) => string | undefined, nameOf: (key: string) => string,
): readonly BindingRow[] {
  return vnics.flatMap(({ key, workloadKey, attachment, workload, vnic, interface: device, mode }): BindingRow[] => {
    const common = { attachment, workload, vnic, interface: device, mode };
    const rivalOf = ({ address, state }: Binding): string | undefined => {
      const other = state === 'bound' ? table.ownerOf(address) : undefined;
      return ownerOf(address, workloadKey) ?? (other === undefined || other === key ? undefined : nameOf(other));
    };
    const rows = [
      ...table.bindings(key).map((binding): BindingRow => {
        const owner = rivalOf(binding);
        const { address, by, mac, state, since, lastSeen, expires } = binding;
        return { ...common, address, by, mac, state: owner === undefined ? state : 'conflict', owner: owner ?? '', since, lastSeen, ...(expires === undefined ? {} : { expires }) };
      }),
      ...table.refusals(key).map(({ address, by, owner, since, lastSeen }): BindingRow => ({ ...common, address, by, mac: '', state: 'conflict', owner: nameOf(owner), since, lastSeen })),
    ];
    return rows.sort((a, b) => (a.address < b.address ? -1 : 1));
  });
}
