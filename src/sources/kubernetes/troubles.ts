/** Failures of many resources → what is told of them: one line a reason. Pure. */
import type { SourceTrouble } from '../source.js';

export interface ResourceProblem {
  /** Plural name. */
  readonly resource: string;
  readonly message: string;
  readonly since: number;
}

/** Resources named in one line. */
const NAMED = 6;

/** The same message of several resources is told once, with the time of the first. */
export function troublesOf(problems: readonly ResourceProblem[]): SourceTrouble[] {
  const byMessage = new Map<string, { resources: string[]; since: number }>();
  for (const { resource, message, since } of problems) {
    const known = byMessage.get(message);
    if (known === undefined) byMessage.set(message, { resources: [resource], since });
    else {
      if (!known.resources.includes(resource)) known.resources.push(resource);
      known.since = Math.min(known.since, since);
    }
  }
  return [...byMessage].map(([message, { resources, since }]) => {
    const more = resources.length > NAMED ? ` and ${resources.length - NAMED} more` : '';
    return { reason: `${message}: ${resources.slice(0, NAMED).join(', ')}${more}`, since };
  });
}
