/** Packets and bytes under each label id, by the counters of the bridge's flows. */
import type { SwitchSession } from './driver.js';
import { category, objectOf } from './adopt.js';
import { CATEGORY, COOKIE_MAGIC, COOKIE_MASK, TABLE } from './pipeline/stages.js';

export interface Traffic {
  packets: bigint;
  bytes: bigint;
}

/** Where packets of a rule are counted: by its verdict those that it decides anew, by its live flow those of its connections. */
const TABLES = [TABLE.OUT_VERDICT, TABLE.IN_VERDICT, TABLE.LIVE_OUT, TABLE.LIVE_IN];

/**
 * Both directions of each connection, since the rule's flows were made: a rule that lost something gets a new live flow, whose counter begins
 * at 0. Bytes are those of frames. The switch brings its counters up to date every half second or so. Rejects as the session does.
 */
export async function labelTraffic(session: SwitchSession): Promise<ReadonlyMap<number, Traffic>> {
  const found = new Map<number, Traffic>();
  for (const table of TABLES) {
    await session.dump({ cookie: COOKIE_MAGIC << 48n, cookieMask: COOKIE_MASK, table }, ({ cookie, counters }) => {
      if (category(cookie) !== CATEGORY.labels) return;
      const id = objectOf(cookie);
      const sum = found.get(id) ?? { packets: 0n, bytes: 0n };
      sum.packets += counters.packets;
      sum.bytes += counters.bytes;
      found.set(id, sum);
    });
  }
  return found;
}
