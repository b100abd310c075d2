/**
 * One rule line of a `ruleset` block, in the grammar of docs/rules-format.md:
 *
 *   rule ID [at POSITION] in|out|inout [inet|inet6] protocol P [MODIFIERS] from SIDE [port PORTS] to SIDE [port PORTS]
 *     ACTION [with log] [as ALG] [tag 'TEXT'] ; [# COMMENT]
 *   rule ID [at POSITION] in|out|inout ethertype E [stateless] from SIDE to SIDE ACTION [with log] [tag 'TEXT'] ; [# COMMENT]
 */
import type { AddressMatch, Direction, IcmpMatch, Layer2Rule, PortRange, Protocol, Rule, RuleAction } from './rule.js';
import { canonicalMember, isMac } from './address.js';
import { AgentError } from './errors.js';
import { setNameProblem, tagProblem } from './names.js';
import { nearest } from './nearest.js';
import { ethertypeFromText, protocolFromText, protocolNames } from './protocols.js';
import { quote } from './quote.js';
import { normalizePorts, portRangeFromText, ruleProblem } from './rule-check.js';

export interface ParsedLine {
  readonly position: number | undefined;
  readonly rule: { readonly layer: 3; readonly value: Rule } | { readonly layer: 2; readonly value: Layer2Rule };
  /** What was read but has no effect here. */
  readonly warnings: readonly string[];
}

/** Parses the text of one rule, from `rule` to the semicolon; a comment after it is skipped. Throws AgentError E_PARSE or E_INVALID, without a place. */
export function parseRuleLine(text: string): ParsedLine {
  const tokens = new Tokens(text);
  tokens.expect('rule');
  const id = tokens.number('the rule id', 1, 2 ** 31 - 1);
  const position = tokens.take('at') ? tokens.number('the position', 1, 2 ** 31 - 1) : undefined;
  const direction = parseDirection(tokens);
  const warnings: string[] = [];
  const family = tokens.take('inet') ? 4 : tokens.take('inet6') ? 6 : undefined;
  const layer2 = family === undefined && tokens.take('ethertype');
  const head = { id, direction };
  const rule = layer2 ? parseLayer2(tokens, head, warnings) : parseLayer3(tokens, head, family, warnings);
  tokens.expect(';');
  if (tokens.peek()?.startsWith('#') !== true) tokens.end();
  return { position, rule, warnings };
}

interface Head { readonly id: number; readonly direction: Direction }

function parseLayer3(tokens: Tokens, head: Head, family: 4 | 6 | undefined, warnings: string[]): ParsedLine['rule'] {
  tokens.expect('protocol');
  const protocol = parseProtocol(tokens);
  const modifiers = parseModifiers(tokens, family, warnings);
  tokens.expect('from');
  const source = parseSide(tokens, 3);
  const sourcePorts = parsePorts(tokens);
  tokens.expect('to');
  const destination = parseSide(tokens, 3);
  const ports = parsePorts(tokens);
  const action = parseAction(tokens);
  const { log, tag } = parseTail(tokens, warnings);
  const { icmp, stateless } = modifiers;
  const value: Rule = {
    ...head,
    ...(modifiers.family === undefined ? {} : { family: modifiers.family }),
    protocol, source, sourcePorts, destination, ports,
    ...(icmp === undefined ? {} : { icmp }),
    action, log,
    ...(tag === undefined ? {} : { tag }),
    stateless,
  };
  const problem = ruleProblem(value);
  if (problem !== undefined) throw invalid(problem.message);
  return { layer: 3, value };
}

function parseLayer2(tokens: Tokens, head: Head, warnings: string[]): ParsedLine['rule'] {
  const word = tokens.next('an ethertype');
  const ethertype = ethertypeFromText(word);
  if (ethertype === undefined) throw invalid(`${quote(word)} is not an ethertype; write any, a name (ipv4, arp, ipv6) or 0x0600 to 0xffff`);
  // Newer listings say it of every layer 2 rule; they always are.
  tokens.take('stateless');
  tokens.expect('from');
  const source = parseSide(tokens, 2);
  tokens.expect('to');
  const destination = parseSide(tokens, 2);
  const action = parseAction(tokens);
  if (action === 'reject') throw invalid('a layer 2 rule cannot reject; use drop');
  if (action === 'pass') throw invalid('a layer 2 rule cannot pass: policies have no layer 2 rules that could follow');
  const { log, tag } = parseTail(tokens, warnings);
  return { layer: 2, value: { ...head, ethertype, source, destination, action, log, ...(tag === undefined ? {} : { tag }) } };
}

function parseDirection(tokens: Tokens): Direction {
  const word = tokens.next('a direction');
  if (word !== 'in' && word !== 'out' && word !== 'inout') throw syntax(`expected in, out or inout, found ${quote(word)}`);
  return word;
}

function parseProtocol(tokens: Tokens): Protocol {
  const word = tokens.next('a protocol');
  const protocol = protocolFromText(word);
  if (protocol !== undefined) return protocol;
  if (word === 'ip') throw invalid('protocol ip is ambiguous; write any, ipip (4) or a number');
  const near = nearest(word, protocolNames());
  throw invalid(`unknown protocol ${quote(word)}${near === undefined ? '; write a name or a number from 0 to 255' : `; did you mean ${near}?`}`);
}

interface Modifiers { family: 4 | 6 | undefined; icmp: IcmpMatch | undefined; stateless: boolean }

function parseModifiers(tokens: Tokens, family: 4 | 6 | undefined, warnings: string[]): Modifiers {
  const found: Modifiers = { family, icmp: undefined, stateless: false };
  for (;;) {
    if (tokens.take('with')) {
      tokens.list(() => {
        if (!parseModifier(tokens, found, warnings)) throw tokens.unexpected('stateless, strict, icmptype or typecode');
      });
    } else if (!parseModifier(tokens, found, warnings)) {
      return found;
    }
  }
}

function parseModifier(tokens: Tokens, found: Modifiers, warnings: string[]): boolean {
  if (tokens.take('stateless')) found.stateless = true;
  else if (tokens.take('strict')) warnings.push('strict has no effect: every stateful rule needs a connection that began with a handshake');
  else if (tokens.take('icmptype')) found.icmp = { type: tokens.number('the ICMP type', 0, 255) };
  else if (tokens.take('typecode')) found.icmp = parseTypeCode(tokens);
  else return false;
  return true;
}

function parseTypeCode(tokens: Tokens): IcmpMatch {
  const word = tokens.next('an ICMP type and code');
  const match = /^(\d{1,3})(?::(\d{1,3}))?$/.exec(word);
  const type = Number(match?.[1]);
  const code = match?.[2] === undefined ? undefined : Number(match[2]);
  if (match === null || type > 255 || (code ?? 0) > 255) {
    throw invalid(`${quote(word)} is not an ICMP type and code; write 3:1, each from 0 to 255`);
  }
  return code === undefined ? { type } : { type, code };
}

/** any | [not] ITEM | [not] {ITEM, ITEM...}; ITEM = addrset NAME | ip MEMBER | mac MEMBER. */
function parseSide(tokens: Tokens, layer: 2 | 3): AddressMatch {
  const addressSets: string[] = [];
  const addresses: string[] = [];
  if (tokens.take('any')) return { not: false, addressSets, addresses };
  const not = tokens.take('not');
  const item = (): void => {
    if (tokens.take('addrset')) {
      const name = tokens.next('the name of an address set');
      const problem = setNameProblem(name, 'address set name');
      if (problem !== undefined) throw invalid(problem);
      addressSets.push(name);
    } else if (tokens.take('ip') || tokens.take('mac')) {
      const address = canonicalMember(tokens.next('an address'));
      if (isMac(address) !== (layer === 2)) {
        throw invalid(layer === 2 ? `${quote(address)}: a layer 2 rule matches MAC addresses only` : `${quote(address)}: MAC addresses belong in layer 2 rules`);
      }
      addresses.push(address);
    } else {
      throw tokens.unexpected(not ? 'addrset, ip or mac' : 'any, not, addrset, ip or mac');
    }
  };
  if (tokens.peek() === '{') tokens.list(item);
  else item();
  return { not, addressSets, addresses };
}

function parsePorts(tokens: Tokens): PortRange[] {
  if (!tokens.take('port')) return [];
  const ranges: PortRange[] = [];
  const item = (): void => {
    const word = tokens.next('a port');
    const range = portRangeFromText(word);
    if (range === undefined) throw invalid(`${quote(word)} is not a port or a range of ports; write 22 or 8000-8100, each from 0 to 65535`);
    ranges.push(range);
  };
  if (tokens.peek() === '{') tokens.list(item);
  else item();
  return normalizePorts(ranges);
}

function parseAction(tokens: Tokens): RuleAction {
  if (tokens.peek() === 'with') {
    throw invalid('application attributes (with attribute ...) are not supported; the rule would match more than it says');
  }
  const word = tokens.next('an action');
  if (word === 'accept' || word === 'drop' || word === 'reject' || word === 'pass') return word;
  if (word === 'punt' || word === 'redirect') throw invalid(`action ${word} (service insertion) is not supported`);
  throw syntax(`expected accept, drop, reject or pass, found ${quote(word)}`);
}

function parseTail(tokens: Tokens, warnings: string[]): { log: boolean; tag: string | undefined } {
  let log = false;
  let tag: string | undefined;
  for (;;) {
    if (tokens.take('with')) {
      tokens.expect('log');
      log = true;
    } else if (tokens.take('as')) {
      const gateway = tokens.next('the name of an application gateway');
      warnings.push(`as ${quote(gateway)} has no effect: related connections of this protocol need rules of their own`);
    } else if (tokens.take('tag')) {
      const text = tokens.quoted();
      const problem = tagProblem(text);
      if (problem !== undefined) throw invalid(problem);
      if (text !== '') tag = text;
    } else {
      return { log, tag };
    }
  }
}

function syntax(message: string): AgentError {
  return new AgentError('E_PARSE', message);
}

function invalid(message: string): AgentError {
  return new AgentError('E_INVALID', message);
}

/** Words, punctuation and quoted texts of one line. */
class Tokens {
  readonly #tokens: readonly string[];
  #at = 0;

  constructor(text: string) {
    this.#tokens = text.match(/'[^']*'|[{},;']|[^\s{},;']+/g) ?? [];
  }

  peek(): string | undefined {
    return this.#tokens[this.#at];
  }

  take(word: string): boolean {
    if (this.#tokens[this.#at] !== word) return false;
    this.#at++;
    return true;
  }

  expect(word: string): void {
    if (!this.take(word)) throw this.unexpected(quote(word));
  }

  /** A word; `what` says which, for the message. */
  next(what: string): string {
    const token = this.peek();
    if (token === undefined || /^[{},;']/.test(token)) throw this.unexpected(what);
    this.#at++;
    return token;
  }

  number(what: string, min: number, max: number): number {
    const word = this.next(what);
    const value = /^\d{1,10}$/.test(word) ? Number(word) : -1;
    if (value < min || value > max) throw invalid(`${what} must be a number from ${min} to ${max}, found ${quote(word)}`);
    return value;
  }

  /** A text in single quotes, without them. */
  quoted(): string {
    const token = this.peek();
    if (token === undefined || token.length < 2 || !token.startsWith("'")) throw this.unexpected('a text in single quotes');
    this.#at++;
    return token.slice(1, -1);
  }

  /** `{item, item}`, at least one. */
  list(item: () => void): void {
    this.expect('{');
    do item();
    while (this.take(','));
    this.expect('}');
  }

  end(): void {
    if (this.peek() !== undefined) throw this.unexpected('the end of the line');
  }

  unexpected(wanted: string): AgentError {
    const token = this.peek();
    return syntax(token === undefined ? `expected ${wanted}, found the end of the line` : `expected ${wanted}, found ${quote(token)}`);
  }
}
