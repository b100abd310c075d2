import type { PriorityOf } from './rule-text.js';

/** Reads a classification.config ("config classification: name,description,priority"); lines that are none are left out. */
export function parseClassification(text: string): PriorityOf {
  const priorities = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, name, priority] = /^\s*config\s+classification\s*:\s*([^,\s]+)\s*,[^,]*,\s*(\d{1,3})\s*$/.exec(line) ?? [];
    // The first line of a name counts, as for the engine.
    if (name !== undefined && !priorities.has(name.toLowerCase())) priorities.set(name.toLowerCase(), Number(priority));
  }
  return (classtype) => priorities.get(classtype);
}
