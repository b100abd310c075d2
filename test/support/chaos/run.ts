/**
 * A run of chaos: objects change in bursts, the store is hurt, the agent is killed and started again, and all the while contacts are tried. At the end
 * the agent must know what the store holds, and enforce it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../../oracle/random.js';
import { Turnstile } from './turnstile.js';
import type { Agent } from '../agent.js';
import { eventually } from '../command.js';
import { ruleTable } from '../manifests.js';
import type { Manifest } from '../policies.js';
import { FIELDS, keyOf, type Changes } from './changes.js';
import { asked, differs, inForce } from './followed.js';
import type { FixedPoints } from './fixed.js';
import type { History } from './history.js';
import type { Probes } from './probes.js';
import type { ChaosStore } from './stores.js';

const MARKER = '001-marker';
const CATCH_UP_MS = 30_000;
/** Of so many changes one is made by agentctl, where it can. */
const BY_HAND = 60;

export interface RunOptions {
  readonly random: Random;
  readonly agent: Agent;
  readonly store: ChaosStore;
  readonly changes: Changes;
  readonly history: History;
  readonly probes: Probes;
  readonly fixed: FixedPoints;
  /** A filter that markers are looked for at. */
  readonly filter: string;
}

export class ChaosRun {
  /** How often what was done. */
  readonly counts = new Map<string, number>();
  readonly wrong: string[] = [];
  /** When what was done, for failure messages. */
  readonly diary: string[] = [];
  private readonly turnstile = new Turnstile();
  private markers = 0;
  /** Ends with the waiting for the agent that is under way. */
  private calm: Promise<void> = Promise.resolve();

  constructor(private readonly options: RunOptions) {}

  /** Makes so many changes; resolves when the agent has them all in force, or something is wrong. */
  async run(total: number): Promise<void> {
    const end = new AbortController();
    const work = [this.hurting(end.signal), this.killing(end.signal), this.options.probes.run(end.signal), this.looking(end.signal)];
    try {
      await Promise.race([this.changing(total), ...work.map(async (one) => one.then(() => new Promise<never>(() => undefined)))]);
    } finally {
      end.abort();
      await Promise.allSettled(work);
    }
    await Promise.all(work);
    if (this.failed) return;
    await this.catchUp();
    this.wrong.push(...await this.options.fixed.look(), ...await this.options.fixed.end());
    const { probes, history } = this.options;
    await probes.look(probes.all(), () => history.newest);
  }

  /** Everything so far is in force when it returns, and known to be. Meanwhile nothing more happens, or on a slow machine it never would. */
  private async catchUp(): Promise<void> {
    let done = (): void => undefined;
    this.calm = new Promise((resolve) => {
      done = resolve;
    });
    try {
      await this.waitForAll();
    } finally {
      done();
    }
  }

  private async waitForAll(): Promise<void> {
    const { agent, changes, history } = this.options;
    let last = 'nothing was asked';
    await eventually('the agent knows what the store holds', async () => {
      last = await differs(agent, changes.current).catch(String) ?? '';
      return last === '' ? true : undefined;
    }, CATCH_UP_MS, 50).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${last}`, { cause: error });
    });
    // What is compiled after this was written has all that came before it.
    this.markers += 1;
    const address = `198.18.${this.markers >> 8}.${this.markers & 255}`;
    await this.write(ruleTable(MARKER, { rules: [{ id: 1, direction: 'inout', protocol: 'tcp', ports: ['9'], source: { addresses: [address] }, action: 'drop' }] }));
    const place = history.newest;
    await eventually('the newest change is in force', async () => ((await inForce(agent, this.options.filter, MARKER)).includes(`"${address}"`) ? true : undefined), CATCH_UP_MS, 20);
    history.confirm(place);
    this.note('caught up');
  }

  private get failed(): boolean {
    return this.wrong.length > 0 || this.options.probes.wrong.length > 0;
  }

  private async changing(total: number): Promise<void> {
    const { random, changes, store, history } = this.options;
    let goBack: (() => Promise<void>) | undefined;
    let then: ReadonlyMap<string, Manifest> = new Map();
    for (let made = 0; made < total && !this.failed;) {
      const fields = [random.pick(FIELDS), random.pick(FIELDS)];
      const burst = Math.min(random.int(4, 20), total - made);
      for (let count = 0; count < burst && !this.failed; count += 1) {
        const change = changes.next(fields);
        history.push(change);
        const byHand = store.writeByHand !== undefined && random.int(1, BY_HAND) === 1;
        await (byHand ? store.writeByHand(change) : store.write(change));
        if (byHand) this.note('agentctl wrote');
        if (random.chance(0.5)) await sleep(random.int(0, 15));
      }
      const before = made;
      made += burst;
      const passed = (share: number): boolean => before < total * share && made >= total * share;
      if (store.backup !== undefined && passed(0.3)) {
        await this.turnstile.alone(async () => {
          goBack = await store.backup?.();
          then = new Map(changes.current);
        });
      }
      if (goBack !== undefined && passed(0.6)) {
        const restore = goBack;
        await this.turnstile.alone(async () => {
          changes.reset(then);
          history.goBack(then);
          await restore();
        });
        this.note('a backup is restored');
        if (random.chance(0.5)) await this.catchUp();
      } else if (random.chance(history.unclear ? 0.7 : 0.3)) await this.catchUp();
    }
  }

  private async write(document: Manifest): Promise<void> {
    const key = keyOf(document);
    const { history, changes, store } = this.options;
    const change = { key, document, before: changes.current.get(key) };
    changes.take(change);
    history.push(change);
    await store.write(change);
  }

  private async hurting(signal: AbortSignal): Promise<void> {
    const { random, store } = this.options;
    const harms = Object.entries(store.harms);
    while (!signal.aborted) {
      await this.calm;
      await sleep(random.int(200, 1_500));
      if (signal.aborted) return;
      const [name, harm] = random.pick(harms);
      await this.turnstile.alone(async () => {
        this.note(name);
        await harm(random);
      });
    }
  }

  /** And starts it again, as a service manager does; sometimes it does not come far. */
  private async killing(signal: AbortSignal): Promise<void> {
    const { random, agent } = this.options;
    while (!signal.aborted) {
      if (random.chance(0.3)) await sleep(random.int(50, 2_000));
      else {
        await eventually('the agent answers', async () => (signal.aborted || (await asked(agent, async (client) => client.getFilters())).length > 0 ? true : undefined), CATCH_UP_MS, 50);
        await sleep(random.int(0, 3_000));
      }
      await this.calm;
      if (random.chance(0.8)) await sleep(random.int(0, 1_000));
      if (signal.aborted) return;
      if (!agent.running) this.wrong.push('the agent ended by itself');
      await agent.kill();
      this.note('the agent is killed');
      await sleep(random.int(0, 400));
      agent.launch();
    }
  }

  private async looking(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.wrong.length === 0) {
      this.wrong.push(...await this.options.fixed.look());
      this.count('fixed points were looked at');
      await sleep(100);
    }
  }

  private note(what: string): void {
    this.count(what);
    this.diary.push(`${new Date().toISOString()} ${what}`);
  }

  private count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }
}
