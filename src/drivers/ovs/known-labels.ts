/** What the flows of a switch say about labels: the key each id stands for, and the stamp it has. */
import type { FlowEntry } from './openflow/flow-stats.js';
import { decodeInstructions } from './openflow/instructions.js';
import { decodeMatch } from './openflow/match.js';
import { category, objectOf } from './adopt.js';
import { CATEGORY, LABEL_BITS, TABLE } from './pipeline/stages.js';

export class KnownLabels {
  readonly keys = new Map<number, string>();
  readonly stamps = new Map<number, number>();

  seen(entry: FlowEntry): void {
    if (category(entry.cookie) !== CATEGORY.labels) return;
    const id = objectOf(entry.cookie);
    if (entry.table === TABLE.OUT_VERDICT || entry.table === TABLE.IN_VERDICT) {
      for (const action of decodeInstructions(entry.instructions).apply ?? []) {
        if (action.type !== 'note') continue;
        const end = action.data.indexOf(0);
        this.keys.set(id, new TextDecoder().decode(action.data.subarray(0, end < 0 ? undefined : end)));
      }
    } else if (entry.table === TABLE.LIVE_OUT || entry.table === TABLE.LIVE_IN) {
      const label = decodeMatch(entry.match).fields.find(({ field }) => field === 'ct_label');
      if (typeof label?.value !== 'bigint') return;
      const at = entry.table === TABLE.LIVE_OUT ? LABEL_BITS.stampOut : LABEL_BITS.stampIn;
      this.stamps.set(id, Number((label.value >> BigInt(at)) & 0xffff_ffffn));
    }
  }
}
