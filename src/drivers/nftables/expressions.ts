/** nf_tables expressions as bytes: one function an expression. A rule is the concatenation. */
import { AttributeWriter } from './attributes.js';
import { FIB, OBJECT, register, VERDICT, VERDICT_REGISTER } from './kernel.js';

export type Expression = (writer: AttributeWriter) => void;

function expression(name: string, body: (writer: AttributeWriter) => void): Expression {
  return (writer) => {
    writer.nest(1, () => writer.text(1, name).nest(2, body));
  };
}

function value(writer: AttributeWriter, type: number, data: Uint8Array): void {
  writer.nest(type, () => writer.data(1, data));
}

function verdictData(writer: AttributeWriter, type: number, code: number, chain?: string): void {
  writer.nest(type, () => {
    writer.nest(2, () => {
      writer.u32(1, code);
      if (chain !== undefined) writer.text(2, chain);
    });
  });
}

/** Meta data into a register. */
export function meta(key: number, destination: number): Expression {
  return expression('meta', (writer) => writer.u32(1, register(destination)).u32(2, key));
}

export function payload(base: number, offset: number, length: number, destination: number): Expression {
  return expression('payload', (writer) => writer.u32(1, register(destination)).u32(2, base).u32(3, offset).u32(4, length));
}

/** Conntrack data into a register; `direction` 0 original, 1 reply, for tuple keys. */
export function ct(key: number, destination: number, direction?: 0 | 1): Expression {
  return expression('ct', (writer) => {
    writer.u32(1, register(destination)).u32(2, key);
    if (direction !== undefined) writer.u8(3, direction);
  });
}

/** 1 (host order) into a register when the route back to the packet's source leads to the interface it came in by, else 0. Not in output. */
export function routedBack(destination: number): Expression {
  return expression('fib', (writer) => writer.u32(1, register(destination)).u32(2, FIB.resultOif).u32(3, FIB.saddr | FIB.iif | FIB.present));
}

/** RTN_* of the packet's destination (host order) into a register: 2 = an address of this host. */
export function destinationType(destination: number): Expression {
  return expression('fib', (writer) => writer.u32(1, register(destination)).u32(2, FIB.resultType).u32(3, FIB.daddr));
}

/** Translates the source to the address in the register, ports kept where they can be (chains of type nat). */
export function sourceNat(family: number, address: number): Expression {
  return expression('nat', (writer) => writer.u32(1, 0).u32(2, family).u32(3, register(address)).u32(4, register(address)).u32(7, 1));
}

/** Meta data from a register. */
export function setMeta(key: number, source: number): Expression {
  return expression('meta', (writer) => writer.u32(2, key).u32(3, register(source)));
}

/** Conntrack key from a register (labels are OR-ed in; 16 bytes). */
export function setCt(key: number, source: number): Expression {
  return expression('ct', (writer) => writer.u32(2, key).u32(4, register(source)));
}

export function equal(source: number, data: Uint8Array): Expression {
  return compare(source, 0, data);
}

export function notEqual(source: number, data: Uint8Array): Expression {
  return compare(source, 1, data);
}

export function atMost(source: number, data: Uint8Array): Expression {
  return compare(source, 3, data);
}

export function atLeast(source: number, data: Uint8Array): Expression {
  return compare(source, 5, data);
}

function compare(source: number, operation: number, data: Uint8Array): Expression {
  return expression('cmp', (writer) => {
    writer.u32(1, register(source)).u32(2, operation);
    value(writer, 3, data);
  });
}

/** register &= mask (4 bytes). */
export function mask(target: number, bits: Uint8Array): Expression {
  return expression('bitwise', (writer) => {
    writer.u32(1, register(target)).u32(2, register(target)).u32(3, bits.length).u32(6, 0);
    value(writer, 4, bits);
    value(writer, 5, new Uint8Array(bits.length));
  });
}

/** register = (register & bits) ^ flipped, 4 bytes each. */
export function maskAndFlip(target: number, bits: Uint8Array, flipped: Uint8Array): Expression {
  return expression('bitwise', (writer) => {
    writer.u32(1, register(target)).u32(2, register(target)).u32(3, bits.length).u32(6, 0);
    value(writer, 4, bits);
    value(writer, 5, flipped);
  });
}

/** Membership test; the rule ends when the key is absent. */
export function inSet(set: string, source: number): Expression {
  return expression('lookup', (writer) => writer.text(1, set).u32(2, register(source)));
}

export function notInSet(set: string, source: number): Expression {
  return expression('lookup', (writer) => writer.text(1, set).u32(2, register(source)).u32(5, 1));
}

/** Map lookup into a register; the rule ends when the key is absent. */
export function lookup(map: string, source: number, destination: number): Expression {
  return expression('lookup', (writer) => writer.text(1, map).u32(2, register(source)).u32(3, register(destination)));
}

/** Verdict map: the element's verdict is the rule's; without an element the rule ends. */
export function verdictMap(map: string, source: number): Expression {
  return expression('lookup', (writer) => writer.text(1, map).u32(2, register(source)).u32(3, VERDICT_REGISTER));
}

export function immediate(destination: number, data: Uint8Array): Expression {
  return expression('immediate', (writer) => {
    writer.u32(1, register(destination));
    value(writer, 2, data);
  });
}

export function verdict(code: number, chain?: string): Expression {
  return expression('immediate', (writer) => {
    writer.u32(1, VERDICT_REGISTER);
    verdictData(writer, 2, code, chain);
  });
}

export const accept = verdict(VERDICT.accept);
export const drop = verdict(VERDICT.drop);
export const returns = verdict(VERDICT.return);
export function jump(chain: string): Expression {
  return verdict(VERDICT.jump, chain);
}
export function goTo(chain: string): Expression {
  return verdict(VERDICT.goto, chain);
}

export const counter: Expression = expression('counter', () => undefined);

/** TCP RST. */
export const rejectReset: Expression = expression('reject', (writer) => writer.u32(1, 1).u8(2, 0));
/** ICMP or ICMPv6 "administratively prohibited". */
export const rejectProhibited: Expression = expression('reject', (writer) => writer.u32(1, 2).u8(2, 3));

/** Packets a second, with burst; the rule ends above the rate. */
export function limit(rate: number, burst: number): Expression {
  return expression('limit', (writer) => writer.u64(1, BigInt(rate)).u64(2, 1n).u32(3, burst).u32(4, 0).u32(5, 0));
}

/** Bytes a second, and `more` at once; the rule goes on above the rate (NFT_LIMIT_F_INV). */
export function overBytes(rate: number, more: number): Expression {
  return expression('limit', (writer) => writer.u64(1, BigInt(rate)).u64(2, 1n).u32(3, more).u32(4, 1).u32(5, 1));
}

/** A named limit, shared by all rules that name it; the rule ends above it. */
export function limitNamed(name: string): Expression {
  return expression('objref', (writer) => writer.u32(1, OBJECT.limit).text(2, name));
}

/**
 * A hash modulo `modulus` of addresses and ports, the same for both directions of a connection (NFT_HASH_SYM); 4 bytes, host order. Of fragments: of addresses
 * alone. By a secret of the host: others cannot choose what it is.
 */
export function symmetricHash(modulus: number, destination: number): Expression {
  return expression('hash', (writer) => writer.u32(2, register(destination)).u32(4, modulus).u32(6, 0).u32(7, 1));
}

/** 1 (one byte) into a register when the packet has the IPv6 extension header, else 0. */
export function hasExtensionHeader(type: number, destination: number): Expression {
  return expression('exthdr', (writer) => writer.u32(1, register(destination)).u8(2, type).u32(3, 0).u32(4, 1).u32(5, 1));
}

/** To NFLOG. `prefix` at most 127 bytes. */
export function log(group: number, prefix: string, snapLength: number): Expression {
  return expression('log', (writer) => writer.u16(1, group).text(2, prefix).u32(3, snapLength).u16(4, 1));
}

/** Copies the packet to the device whose index (4 bytes, host order) is in the register (netdev family). */
export function duplicate(source: number): Expression {
  return expression('dup', (writer) => writer.u32(2, register(source)));
}

/** Sends the packet itself to the device whose index (4 bytes, host order) is in the register, and ends (netdev family). */
export function forward(source: number): Expression {
  return expression('fwd', (writer) => writer.u32(1, register(source)));
}

export function encode(expressions: readonly Expression[]): Uint8Array {
  const writer = new AttributeWriter();
  for (const write of expressions) write(writer);
  return writer.finish();
}

/** A verdict as set element data (NFTA_SET_ELEM_DATA). */
export function verdictElementData(writer: AttributeWriter, code: number, chain?: string): void {
  verdictData(writer, 2, code, chain);
}

// Register contents.
export function host32(word: number): Uint8Array {
  const data = new Uint8Array(4);
  new DataView(data.buffer).setUint32(0, word >>> 0, true);
  return data;
}
export function big32(word: number): Uint8Array {
  const data = new Uint8Array(4);
  new DataView(data.buffer).setUint32(0, word >>> 0);
  return data;
}
export function byte(word: number): Uint8Array {
  return Uint8Array.of(word);
}
