import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseClassification } from '../../../../../src/drivers/ids/signatures/classification.js';
import { selectRules } from '../../../../../src/drivers/ids/signatures/rule-edits.js';
import type { SignatureAction, SignatureSelection } from '../../../../../src/model/signature.js';
import { Turns } from '../../../../../src/platform/turns.js';

const CLASSES = { 'trojan-activity': 1, 'bad-unknown': 2, 'misc-activity': 3, 'tcp-connection': 4 } as const;
const priorityOf = parseClassification(Object.entries(CLASSES).map(([name, priority]) => `config classification: ${name},Text,${priority}\n`).join(''));
const ACTIONS = ['alert', 'drop', 'reject', 'pass'] as const;

async function select(text: string | Buffer, selection: SignatureSelection): Promise<{ text: string; enabled: number; switchedOff: number; disabledBefore: number }> {
  const { pieces, ...counts } = await selectRules(Buffer.from(text), selection, priorityOf, new Turns());
  return { text: Buffer.concat(pieces).toString('latin1'), ...counts };
}

/** A line of a rule file in its parts; the text is made of them, the expectation is too. */
type Part =
  | { readonly kind: 'other'; readonly text: string }
  | { readonly kind: 'rule'; readonly off: boolean; readonly action: string; readonly sid: number; readonly classtype: keyof typeof CLASSES | undefined; readonly priority: number | undefined; readonly noise: string; readonly breaks: number };

const sids = fc.integer({ min: 1, max: 12 });
const part: fc.Arbitrary<Part> = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom('', '# a comment', '#', ' indented alert tcp any any -> any any (sid:1;)', '# comment \\', '\t').map((text) => ({ kind: 'other' as const, text })) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('rule' as const), off: fc.boolean(), action: fc.constantFrom(...ACTIONS, 'rejectboth'), sid: sids,
      classtype: fc.option(fc.constantFrom('trojan-activity', 'bad-unknown', 'misc-activity', 'tcp-connection'), { nil: undefined }),
      priority: fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined }), noise: fc.constantFrom('a', 'sid:3\\;', '|28|x\\"', '(', '# \\\\', 'classtype:x\\;', 'é'), breaks: fc.integer({ min: 0, max: 2 }),
    }),
  },
);
const selection: fc.Arbitrary<SignatureSelection> = fc.record({
  severities: fc.uniqueArray(fc.integer({ min: 1, max: 4 })), categories: fc.uniqueArray(fc.constantFrom('trojan-activity', 'BAD-unknown', 'misc-activity')),
  sids: fc.uniqueArray(sids), disabledSids: fc.uniqueArray(sids), actions: fc.dictionary(sids.map(String), fc.constantFrom(...ACTIONS)).map((given): Record<number, SignatureAction> => given),
}, { requiredKeys: [] });

/** The lines of a rule, before any change. */
function linesOf(rule: Extract<Part, { kind: 'rule' }>, action: string): string[] {
  const options = [
    `msg:"m ${rule.noise}";`, ...(rule.classtype === undefined ? [] : [`classtype:${rule.classtype};`]), ...(rule.priority === undefined ? [] : [`priority: ${rule.priority};`]), `sid:${rule.sid};`, 'rev:1;',
  ];
  const lines = [`${action} tcp any any -> any any (${options[0] ?? ''}`];
  for (const [index, option] of options.slice(1).entries()) {
    if (index < rule.breaks) {
      lines[lines.length - 1] += ' \\';
      lines.push(`   ${option}`);
    } else lines[lines.length - 1] += ` ${option}`;
  }
  lines[lines.length - 1] += ')';
  return lines.map((line) => (rule.off ? `#${line}` : line));
}

/** The expectation, said in the words of the documentation, one rule at a time. */
function expected(parts: readonly Part[], chosen: SignatureSelection): string {
  return parts.flatMap((each) => {
    if (each.kind === 'other') return [each.text];
    if (each.off) return linesOf(each, each.action);
    const severity = each.priority ?? (each.classtype === undefined ? 3 : CLASSES[each.classtype]);
    const bySeverity = chosen.severities === undefined || chosen.severities.some((one) => one === severity || (one === 4 && severity > 4));
    const byCategory = chosen.categories === undefined || chosen.categories.some((one) => one.toLowerCase() === each.classtype);
    const listed = chosen.sids !== undefined && chosen.sids.some((one) => one === each.sid);
    const nothingElse = chosen.severities === undefined && chosen.categories === undefined;
    const rest = chosen.sids !== undefined && nothingElse ? false : bySeverity && byCategory;
    const struck = (chosen.disabledSids ?? []).some((one) => one === each.sid);
    if (struck || !(listed || rest)) return linesOf(each, each.action).map((line) => `# ${line}`);
    return linesOf(each, chosen.actions?.[each.sid] ?? each.action);
  }).join('\n');
}

describe('a selection of rules', () => {
  test('is what the slow and obvious way says, byte by byte', async () => {
    await fc.assert(fc.asyncProperty(fc.array(part, { maxLength: 12 }), selection, fc.boolean(), async (parts, chosen, windows) => {
      const original = parts.flatMap((each) => (each.kind === 'other' ? [each.text] : linesOf(each, each.action))).join('\n');
      const end = windows ? '\r\n' : '\n';
      const got = await select(original.replaceAll('\n', end), chosen);
      expect(Buffer.from(got.text, 'latin1').toString('utf8')).toBe(expected(parts, chosen).replaceAll('\n', end));
      expect(got.enabled + got.switchedOff).toBe(parts.filter((each) => each.kind === 'rule' && !each.off).length);
    }), { numRuns: 500 });
  });

  test('that selects everything changes no byte, whatever the bytes are', async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      expect(Buffer.from((await select(Buffer.from(bytes), {})).text, 'latin1').equals(Buffer.from(bytes))).toBe(true);
    }));
  });

  test('is selected again from its own result without a further change', async () => {
    const once = await select('alert tcp any any -> any any (sid:1;)\nalert tcp any any -> any any (sid:2;)\n', { sids: [1], actions: { 1: 'drop' } });
    expect(once).toMatchObject({ text: 'drop tcp any any -> any any (sid:1;)\n# alert tcp any any -> any any (sid:2;)\n', enabled: 1, switchedOff: 1 });
    expect(await select(once.text, { sids: [1], actions: { 1: 'drop' } })).toMatchObject({ text: once.text, disabledBefore: 1 });
  });

  test('rules without a sid stay: the engine names them', async () => {
    const text = 'alert tcp any any -> any any (msg:"no sid";)\n';
    expect(await select(text, { sids: [1] })).toMatchObject({ text, enabled: 1 });
  });
});

test('40,000 signatures in 20 MB, without keeping others waiting', async () => {
  const filler = 'content:"0123456789abcdef"; '.repeat(15);
  const text = Array.from({ length: 40_000 }, (_, index) => `alert tcp any any -> any any (msg:"number ${index}"; ${filler}classtype:bad-unknown; sid:${index + 1}; rev:1;)\n`).join('');
  expect(text.length).toBeGreaterThan(18_000_000);
  /** Between two breaths, ms, at most: the clock counts waiting for a processor of a busy machine, the processor's time what other threads did. */
  class MeasuredTurns extends Turns {
    readonly portions: number[] = [];
    private last = process.cpuUsage();
    private began = performance.now();
    override async yield(): Promise<void> {
      const { user, system } = process.cpuUsage(this.last);
      this.portions.push(Math.min((user + system) / 1_000, performance.now() - this.began));
      await super.yield();
      this.last = process.cpuUsage();
      this.began = performance.now();
    }
  }
  const bytes = Buffer.from(text);
  const chosen: SignatureSelection = { severities: [2], disabledSids: Array.from({ length: 20_000 }, (_, index) => index * 2 + 1), actions: { 2: 'drop' } };
  const runs: { readonly longest: number; readonly whole: number }[] = [];
  for (let run = 0; run < 3; run += 1) {
    const turns = new MeasuredTurns();
    const cpu = process.cpuUsage();
    const { enabled, switchedOff } = await selectRules(bytes, chosen, priorityOf, turns);
    const { user, system } = process.cpuUsage(cpu);
    expect([enabled, switchedOff]).toEqual([20_000, 20_000]);
    expect(turns.portions.length).toBeGreaterThan(3);
    runs.push({ longest: Math.max(...turns.portions), whole: (user + system) / 1_000 });
  }
  // The best of three: what the compiler and others on this machine do in between is not what is measured.
  expect(Math.min(...runs.map(({ whole }) => whole))).toBeLessThan(2_000);
  expect(Math.min(...runs.map(({ longest }) => longest))).toBeLessThan(50);
});
