/**
 * Copies in table `netdev dfw`: which packets of a vNIC's side each device gets, as rules. One device gets one copy of a packet, so its requests are asked in
 * turn, in a chain of their own, which ends for a packet with the first that takes it. Limits are named objects, for they are of all rules of a control.
 */
import { inTurn, takesAll, type CopyRequest } from '../../model/copying.js';
import { hash32 } from '../../model/text-hash.js';
import {
  accept, byte, counter, duplicate, equal, hasExtensionHeader, host32, immediate, limitNamed, mask, meta, notEqual, payload, symmetricHash, type Expression,
} from './expressions.js';
import { rule, type LimitImage, type RuleImage } from './image.js';
import { ETHERTYPE, FRAGMENT_HEADER, META, PAYLOAD } from './kernel.js';
import { trafficMatches, type MatchAlternative } from './traffic-match.js';

export interface MirrorTarget extends CopyRequest {
  /** Interface index of the device that gets the copies. */
  readonly deviceIndex: number;
}

export interface CopiedInterface {
  readonly interface: string;
  readonly interfaceIndex: number;
}

/** `together`: of devices that get everything, which disturb nobody else; `apart`: a chain each. */
export function copyRules(targets: readonly MirrorTarget[], of: CopiedInterface): { readonly together: readonly RuleImage[]; readonly apart: readonly (readonly RuleImage[])[] } {
  const devices = new Map<number, MirrorTarget[]>();
  for (const target of targets) devices.set(target.deviceIndex, [...(devices.get(target.deviceIndex) ?? []), target]);
  const together: RuleImage[] = [];
  const apart: RuleImage[][] = [];
  for (const requests of devices.values()) {
    const turns = inTurn(requests);
    const [first] = turns;
    if (first !== undefined && takesAll(first)) together.push(...requestRules(first, of));
    else apart.push(turns.flatMap((request) => requestRules(request, of, accept)));
  }
  return { together, apart };
}

function requestRules(request: MirrorTarget, of: CopiedInterface, ...end: readonly Expression[]): RuleImage[] {
  const limits = limitImages(request);
  return trafficMatches(request.match).flatMap((match) => sampled(request, match)).flatMap(({ text, expressions }): RuleImage[] => {
    const where = `${of.interface} (${of.interfaceIndex})${text}`;
    return [
      rule(`${COPIED}${copiesName(request.control)} of ${where}`, ...expressions, ...limits.map(({ name }) => limitNamed(name)), counter, immediate(0, host32(request.deviceIndex)), duplicate(0), ...end),
      // What the limit did not let pass comes here; nobody else copies it either.
      ...(limits.length === 0 ? [] : [rule(`${CAPPED}${copiesName(request.control)} of ${where}`, ...expressions, counter, ...end)]),
    ];
  });
}

const COPIED = 'mirror ';
const CAPPED = 'capped ';

/** What a rule of this comment did for the control; undefined: it is none of its rules. */
export function copyRuleOf(control: string, comment: string): 'copied' | 'capped' | undefined {
  const of = `${copiesName(control)} of `;
  if (comment.startsWith(`dfw: ${COPIED}${of}`)) return 'copied';
  return comment.startsWith(`dfw: ${CAPPED}${of}`) ? 'capped' : undefined;
}

/** Comments have 127 characters. */
function copiesName(control: string): string {
  return control.length > 40 ? `${control.slice(0, 28)}...${hash32(control).toString(16).padStart(8, '0')}` : control;
}

/**
 * One connection in so many: those whose hash is 0, which both directions have alike. Fragments do not say which connection they are of, but the first: they
 * are all copied, so that no connection has holes. What is no IP is of no connection.
 */
function sampled({ sampling, match: declared }: MirrorTarget, match: MatchAlternative): MatchAlternative[] {
  if (sampling === undefined) return [match];
  const also = (text: string, ...expressions: readonly Expression[]): MatchAlternative => ({ text: `${match.text}${text}`, expressions: [...match.expressions, ...expressions] });
  // Only of IP is there a protocol, whichever; 255 is none.
  const ofIp = declared === undefined ? [meta(META.l4proto, 0), notEqual(0, byte(255))] : [];
  return [
    also(` 1/${sampling}`, ...ofIp, symmetricHash(sampling, 0), equal(0, host32(0))),
    also(' fragment', ...isFamily(ETHERTYPE.ipv4), payload(PAYLOAD.network, 6, 2, 0), mask(0, Uint8Array.of(0x3f, 0xff)), notEqual(0, Uint8Array.of(0, 0))),
    also(' fragment6', ...isFamily(ETHERTYPE.ipv6), hasExtensionHeader(FRAGMENT_HEADER, 0), equal(0, byte(1))),
  ];
}

function isFamily(ethertype: number): Expression[] {
  return [meta(META.protocol, 0), equal(0, Uint8Array.of(ethertype >>> 8, ethertype & 0xff))];
}

/** Another rate is another object: the kernel changes none. */
export function limitImages({ control, rateLimit }: CopyRequest): LimitImage[] {
  if (rateLimit === undefined) return [];
  const { packetsPerSecond, bytesPerSecond, burst } = rateLimit;
  const object = (unit: 'packets' | 'bytes', rate: number, more: number): LimitImage => {
    const key = JSON.stringify([control, unit, rate, more]);
    return { name: `cap_${[0, 1].map((seed) => hash32(key, seed).toString(16).padStart(8, '0')).join('')}`, unit, rate, burst: more };
  };
  return [
    ...(packetsPerSecond === undefined ? [] : [object('packets', packetsPerSecond, burst ?? packetsPerSecond)]),
    // Of bytes the kernel lets pass those of a second at once, and `burst` more.
    ...(bytesPerSecond === undefined ? [] : [object('bytes', bytesPerSecond, 0)]),
  ];
}
