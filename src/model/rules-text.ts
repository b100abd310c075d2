/**
 * Files of `ruleset NAME {...}` and `addrset NAME {...}` blocks, as `getrules` and `getaddrsets` print them. The grammar,
 * and where it is wider or narrower than the original, is docs/rules-format.md. Pure; nothing here throws for bad text:
 * problems are returned with their lines, and a text with problems yields no tables.
 */
import { LIMITS, type AddressSet, type Layer2Rule, type Rule } from './rule.js';
import { canonicalMember, isMac } from './address.js';
import { describeError } from './errors.js';
import { LAYER2_SUFFIX, setNameProblem, tableNameProblem } from './names.js';
import { quote } from './quote.js';
import { idProblem } from './rule-check.js';
import { parseRuleLine } from './rules-line.js';

export { printAddressSet, printRule, printRuleset, type PrintOptions } from './rules-print.js';

export interface RulesNote {
  /** 1-based. */
  readonly line: number;
  readonly message: string;
}

export interface RulesTextTable {
  readonly name: string;
  /** Line of the table's first block. */
  readonly line: number;
  readonly rules: readonly Rule[];
  readonly layer2Rules: readonly Layer2Rule[];
  /** Those of the text's address sets that the rules name, in the order of the text. */
  readonly addressSets: readonly AddressSet[];
}

export interface RulesText {
  readonly tables: readonly RulesTextTable[];
  /** All address sets of the text. */
  readonly addressSets: readonly AddressSet[];
  /** Why the text is refused; empty when it is not. At most 20. */
  readonly problems: readonly RulesNote[];
  /** What was read but has no effect. At most 20, and one that says how many more. */
  readonly warnings: readonly RulesNote[];
}

const MAX_NOTES = 20;

/** Parses a whole text. `ruleset X` and `ruleset X_L2` become one table X. */
export function parseRulesText(text: string): RulesText {
  const parser = new Parser();
  let line = 0;
  let start = 0;
  while (start <= text.length) {
    const end = text.indexOf('\n', start);
    const stop = end < 0 ? text.length : end;
    line++;
    parser.line(text.slice(start, stop).trim(), line);
    start = stop + 1;
  }
  return parser.finish(line);
}

interface TableDraft {
  readonly name: string;
  readonly line: number;
  readonly rules: Rule[];
  readonly ruleLines: number[];
  readonly layer2Rules: Layer2Rule[];
  readonly layer2Lines: number[];
  readonly blocks: Map<2 | 3, number>;
}

interface SetDraft { readonly name: string; readonly line: number; readonly addresses: string[] }

type Block =
  | { readonly kind: 'ruleset'; readonly table: TableDraft; readonly layer: 2 | 3; readonly line: number; position: number }
  | { readonly kind: 'addrset'; readonly set: SetDraft; readonly line: number }
  /** A block with a bad head: its lines are skipped, the head is reported. */
  | { readonly kind: 'skipped'; readonly line: number };

class Parser {
  readonly #tables = new Map<string, TableDraft>();
  readonly #sets = new Map<string, SetDraft>();
  readonly #problems: RulesNote[] = [];
  readonly #warnings: RulesNote[] = [];
  #warningCount = 0;
  #block: Block | undefined;
  #closedAt = -1;

  line(text: string, line: number): void {
    if (text === '' || text.startsWith('#')) return;
    const block = this.#block;
    if (block === undefined) this.#outside(text, line);
    else if (text === '}') this.#close(line);
    else if (block.kind === 'addrset') this.#member(block.set, text, line);
    else if (block.kind === 'ruleset') this.#rule(block, text, line);
  }

  finish(lastLine: number): RulesText {
    if (this.#block !== undefined) {
      this.#problem(this.#block.line, `the block that begins here is not closed by } before the end (line ${lastLine})`);
    }
    for (const table of this.#tables.values()) this.#checkTable(table);
    const problems = this.#problems;
    const hidden = this.#warningCount - this.#warnings.length;
    const warnings = hidden > 0 ? [...this.#warnings, { line: lastLine, message: `and ${hidden} more` }] : this.#warnings;
    if (problems.length > 0) return { tables: [], addressSets: [], problems, warnings };
    const addressSets: AddressSet[] = [...this.#sets.values()].map(({ name, addresses }) => ({ name, addresses }));
    const tables = [...this.#tables.values()].map((table) => {
      const used = new Set([...table.rules, ...table.layer2Rules].flatMap((rule) => [...rule.source.addressSets, ...rule.destination.addressSets]));
      const { name, line, rules, layer2Rules } = table;
      return { name, line, rules, layer2Rules, addressSets: addressSets.filter((set) => used.has(set.name)) };
    });
    return { tables, addressSets, problems, warnings };
  }

  #outside(text: string, line: number): void {
    const head = /^(ruleset|addrset)\s+(\S+)\s*\{(\s*\})?$/.exec(text);
    const kind = head?.[1];
    const name = head?.[2];
    if (kind === undefined || name === undefined) {
      // Some versions of getaddrsets close a set twice.
      if (text === '}' && this.#closedAt === line - 1) return;
      this.#problem(line, `expected "ruleset NAME {" or "addrset NAME {", found ${quote(text)}`);
      if (text.endsWith('{')) this.#block = { kind: 'skipped', line };
      return;
    }
    const layer = kind === 'ruleset' && name.endsWith(LAYER2_SUFFIX) ? 2 : 3;
    const own = layer === 2 ? name.slice(0, -LAYER2_SUFFIX.length) : name;
    const problem = kind === 'ruleset' ? tableNameProblem(own) : setNameProblem(own);
    if (problem !== undefined) {
      this.#problem(line, problem);
      this.#block = { kind: 'skipped', line };
    } else {
      this.#block = kind === 'ruleset' ? this.#openRuleset(own, layer, line) : this.#openSet(own, line);
    }
    if (head?.[3] !== undefined) this.#close(line);
  }

  #openRuleset(name: string, layer: 2 | 3, line: number): Block {
    const table: TableDraft = this.#tables.get(name) ?? { name, line, rules: [], ruleLines: [], layer2Rules: [], layer2Lines: [], blocks: new Map() };
    const earlier = table.blocks.get(layer);
    if (earlier !== undefined) {
      this.#problem(line, `ruleset ${name}${layer === 2 ? LAYER2_SUFFIX : ''} was already given on line ${earlier}`);
      return { kind: 'skipped', line };
    }
    table.blocks.set(layer, line);
    this.#tables.set(name, table);
    return { kind: 'ruleset', table, layer, line, position: 0 };
  }

  /** A set may be given twice when both times are equal, as in the listings of several filters; the check is made at its end. */
  #openSet(name: string, line: number): Block {
    return { kind: 'addrset', set: { name, line, addresses: [] }, line };
  }

  #close(line: number): void {
    const block = this.#block;
    this.#block = undefined;
    this.#closedAt = line;
    if (block?.kind !== 'addrset') return;
    const { set } = block;
    if (set.addresses.length > LIMITS.addressesPerSet) {
      this.#problem(
        set.line, `addrset ${set.name} has ${set.addresses.length} members; the limit is ${LIMITS.addressesPerSet} (addressesPerSet)`,
      );
    }
    const earlier = this.#sets.get(set.name);
    if (earlier === undefined) this.#sets.set(set.name, set);
    else if (earlier.addresses.length !== set.addresses.length || earlier.addresses.some((address, index) => address !== set.addresses[index])) {
      this.#problem(set.line, `addrset ${set.name} was already given on line ${earlier.line} with other members`);
    }
  }

  #member(set: SetDraft, text: string, line: number): void {
    const end = text.endsWith(',') ? text.length - 1 : text.length;
    const isIp = text.startsWith('ip ');
    if (!isIp && !text.startsWith('mac ')) {
      this.#problem(line, `expected "ip ADDRESS," or "mac ADDRESS,", found ${quote(text)}`);
      return;
    }
    try {
      const address = canonicalMember(text.slice(isIp ? 3 : 4, end).trim());
      if (!isIp !== isMac(address)) this.#problem(line, `${quote(text)}: the word before the address does not fit it`);
      else set.addresses.push(address);
    } catch (error) {
      this.#problem(line, describeError(error));
    }
  }

  #rule(block: Extract<Block, { kind: 'ruleset' }>, text: string, line: number): void {
    const { table, layer } = block;
    try {
      const parsed = parseRuleLine(text);
      for (const message of parsed.warnings) this.#warning(line, message);
      if (parsed.position !== undefined) {
        if (parsed.position <= block.position) {
          this.#warning(line, `position ${parsed.position} does not follow ${block.position}; the order of the lines counts`);
        }
        block.position = parsed.position;
      }
      if (parsed.rule.layer !== layer) {
        const wanted = layer === 2 ? `ruleset ${table.name}${LAYER2_SUFFIX} holds layer 2 rules (ethertype ...)` : `layer 2 rules belong in ruleset ${table.name}${LAYER2_SUFFIX}`;
        this.#problem(line, `${wanted}: ${quote(text, 160)}`);
      } else if (parsed.rule.layer === 3) {
        table.rules.push(parsed.rule.value);
        table.ruleLines.push(line);
      } else {
        table.layer2Rules.push(parsed.rule.value);
        table.layer2Lines.push(line);
      }
    } catch (error) {
      this.#problem(line, `${describeError(error)}: ${quote(text, 160)}`);
    }
  }

  #checkTable(table: TableDraft): void {
    for (const [rules, lines] of [[table.rules, table.ruleLines], [table.layer2Rules, table.layer2Lines]] as const) {
      const excess = lines[LIMITS.rulesPerTable];
      if (excess !== undefined) {
        this.#problem(excess, `ruleset ${table.name} has ${rules.length} rules; the limit is ${LIMITS.rulesPerTable} (rulesPerTable)`);
      }
      const conflict = idProblem(rules);
      if (conflict !== undefined) {
        this.#problem(
          lines[conflict.second] ?? 0, `${conflict.message} (lines ${lines[conflict.first] ?? 0} and ${lines[conflict.second] ?? 0})`,
        );
      }
    }
  }

  #problem(line: number, message: string): void {
    if (this.#problems.length < MAX_NOTES) this.#problems.push({ line, message });
  }

  #warning(line: number, message: string): void {
    this.#warningCount++;
    if (this.#warnings.length < MAX_NOTES) this.#warnings.push({ line, message });
  }
}
