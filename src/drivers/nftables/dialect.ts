/**
 * What differs between the families of nf_tables that rule tables are enforced in: `inet` for what the host routes, sends and receives,
 * `bridge` for ports of Linux bridges. All else (sets, classifier, plan, adoption) is shared.
 */
import type { Target } from '../../compile/target.js';
import type { Block } from './blocks.js';
import type { Expression } from './expressions.js';
import type { ChainImage, SetImage, TableName } from './image.js';

/** A plain set whose elements follow from the target: all filters, or some of them, or what they have to do with. */
export interface MemberSet {
  readonly set: SetImage;
  readonly members: (target: Target) => ReadonlySet<string>;
  /** Adds the element of a member. */
  readonly put: (block: Block, member: string) => void;
}

export interface Dialect {
  readonly name: TableName;
  /** For people: "inet dfw". */
  readonly title: string;
  /** Sets that do not depend on rules. */
  readonly sets: readonly SetImage[];
  /** Chains that do not depend on rules; base chains are among them. */
  readonly chains: readonly ChainImage[];
  readonly memberSets: readonly MemberSet[];
  /** Ends the rule for packets of the other family. Loads the register with something that every packet of this one has. */
  readonly isFamily: (family: 4 | 6, register: number) => readonly Expression[];
  /** The protocol of the connection (1 byte), for rules that judge by connection. */
  readonly connectionProtocol: (register: number) => Expression;
  /** Ends the rule of an accepting rule's log for packets that are not the first of their connection. */
  readonly firstPacket: readonly Expression[];
}
