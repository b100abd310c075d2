/** What one vNIC has asked DHCP servers lately: only what answers it is believed. The newest few. */
import type { Sighting } from './sighting.js';

type Question = Sighting & { readonly kind: 'question' };
type Answer = Sighting & { readonly kind: 'answer' };

/** Clients repeat what is not answered, in a new packet, for about a minute (RFC 2131, 4.1; RFC 8415, 15). */
const ANSWERED_WITHIN_MS = 60_000;
const MOST = 8;

export class Questions {
  private readonly asked = new Map<string, { readonly at: number; readonly mac: string }>();

  ask(question: Question, now: number): void {
    const key = keyOf(question);
    this.asked.delete(key);
    this.asked.set(key, { at: now, mac: question.mac });
    const [first] = this.asked.keys();
    if (this.asked.size > MOST && first !== undefined) this.asked.delete(first);
  }

  /** MAC address of who asked ('' = not known); undefined: nobody did, or too long ago. An answer may come more than once. */
  macOf(answer: Answer, now: number): string | undefined {
    const question = this.asked.get(keyOf(answer));
    return question === undefined || now - question.at > ANSWERED_WITHIN_MS || now < question.at ? undefined : question.mac;
  }
}

function keyOf({ by, client, transaction }: Pick<Question | Answer, 'by' | 'client' | 'transaction'>): string {
  return `${by} ${transaction} ${client}`;
}
