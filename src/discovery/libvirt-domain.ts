/**
 * What a libvirt domain status file says of a virtual machine (libvirt's formatdomain; the status is `<domstatus>` around `<domain>`). Read
 * by saxes: strict, says the place of what is wrong, and has no entities but XML's own five. Pure.
 */
import { SaxesParser, type SaxesTagNS } from 'saxes';
import { canonicalHost, canonicalMac, isMac } from '../model/address.js';
import { AgentError, describeError } from '../model/errors.js';
import { interfaceProblem, labelKeyProblem, labelValueProblem, nsxNameProblem } from '../model/names.js';

export interface Domain {
  readonly name: string;
  /** Lower case, with dashes. */
  readonly uuid: string;
  /** From <metadata>; the machine's tags. */
  readonly tags: Readonly<Record<string, string>>;
  readonly nics: readonly DomainNic[];
}

export interface DomainNic {
  /** By libvirt's alias (net0 → eth0), else by its place. */
  readonly vnic: string;
  /** Its device on this host; absent: it has none (passed-through hardware, user mode networking). */
  readonly device?: string;
  /** bridge, network, ethernet, direct, ... */
  readonly type: string;
  readonly mac?: string;
  /** Canonical hosts that somebody declared for it: <ip>, and parameters IP and IPV6 of network filters. */
  readonly addresses: readonly string[];
  /** Of the network or bridge that it is on. */
  readonly segment?: string;
}

/** Namespace of the tags in <metadata>: <tags xmlns="..."><tag key="app" value="demo"/></tags>. */
export const TAGS_NAMESPACE = 'https://dfw.dev/xmlns/libvirt/1';

interface DraftNic {
  type: string;
  device?: string;
  mac?: string;
  alias?: string;
  segment?: string;
  readonly addresses: string[];
}

/** @throws AgentError E_PARSE when it is no well-formed XML, or has a document type; E_INVALID when it is no domain. Its path is the place: "line 3, column 7". */
export function parseDomain(text: string): Domain {
  return new DomainReader().read(text);
}

class DomainReader {
  private readonly parser = new SaxesParser({ xmlns: true });
  private readonly path: string[] = [];
  private readonly tags: Record<string, string> = {};
  private readonly nics: DraftNic[] = [];
  private nic: DraftNic | undefined;
  private name = '';
  private uuid = '';
  private collected: string | undefined;
  private inDomain = false;

  read(text: string): Domain {
    const { parser } = this;
    parser.on('error', (error) => {
      // The message begins with the place.
      throw this.refusal('E_PARSE', error.message.replace(/^\d+:\d+: /, '').replace(/\.$/, ''));
    });
    parser.on('doctype', () => {
      throw this.refusal('E_PARSE', 'a document type is not read: nothing here needs one, and it may define entities without end');
    });
    parser.on('opentag', (tag) => this.open(tag));
    parser.on('text', (part) => {
      if (this.collected !== undefined) this.collected += part;
    });
    parser.on('closetag', () => this.close());
    parser.write(text).close();
    if (!this.inDomain) throw this.refusal('E_INVALID', 'there is no <domain>');
    if (this.uuid === '') throw this.refusal('E_INVALID', 'the domain has no <uuid>');
    this.refuseIf(nsxNameProblem(this.name));
    return { name: this.name, uuid: this.uuid, tags: this.tags, nics: nameNics(this.nics) };
  }

  private open(tag: SaxesTagNS): void {
    this.path.push(tag.local);
    const at = this.path.join('/').replace(/^domstatus\//, '');
    if (at === 'domain') this.inDomain = true;
    else if (at === 'domain/name' || at === 'domain/uuid') this.collected = '';
    else if (at === 'domain/devices/interface') {
      this.nic = { type: attribute(tag, 'type') ?? '', addresses: [] };
      this.nics.push(this.nic);
    } else if (at.startsWith('domain/metadata/') && tag.uri === TAGS_NAMESPACE && tag.local === 'tag') this.tag(tag);
    else if (this.nic !== undefined && at.startsWith('domain/devices/interface/')) this.part(this.nic, at.slice('domain/devices/interface/'.length), tag);
  }

  private close(): void {
    const at = this.path.join('/').replace(/^domstatus\//, '');
    if (at === 'domain/name') this.name = this.collected?.trim() ?? '';
    if (at === 'domain/uuid') {
      this.uuid = this.collected?.trim().toLowerCase() ?? '';
      if (!/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(this.uuid)) throw this.refusal('E_INVALID', 'the <uuid> is none');
    }
    if (at === 'domain/devices/interface') this.nic = undefined;
    this.collected = undefined;
    this.path.pop();
  }

  private tag(tag: SaxesTagNS): void {
    const [key, value] = [attribute(tag, 'key') ?? '', attribute(tag, 'value') ?? ''];
    this.refuseIf(labelKeyProblem(key) ?? labelValueProblem(value));
    if (Object.hasOwn(this.tags, key)) throw this.refusal('E_INVALID', `two tags have the key ${key}`);
    this.tags[key] = value;
  }

  private part(nic: DraftNic, at: string, tag: SaxesTagNS): void {
    if (at === 'mac') {
      const mac = attribute(tag, 'address') ?? '';
      if (!isMac(mac)) throw this.refusal('E_INVALID', 'the MAC address of an interface is none');
      nic.mac = canonicalMac(mac);
    } else if (at === 'target') {
      const device = attribute(tag, 'dev');
      if (device === undefined) return;
      this.refuseIf(interfaceProblem(device));
      nic.device = device;
    } else if (at === 'alias') nic.alias = attribute(tag, 'name') ?? '';
    else if (at === 'source') {
      const segment = attribute(tag, 'network') ?? attribute(tag, 'bridge');
      if (segment !== undefined) nic.segment = segment;
    } else if (at === 'ip') nic.addresses.push(this.address(attribute(tag, 'address') ?? ''));
    else if (at === 'filterref/parameter') {
      const [name, value] = [attribute(tag, 'name'), attribute(tag, 'value') ?? ''];
      // A network filter may have what it means to learn instead of an address.
      if ((name === 'IP' || name === 'IPV6') && value !== '' && value !== 'any') nic.addresses.push(this.address(value));
    }
  }

  private address(text: string): string {
    try {
      return canonicalHost(text);
    } catch (error) {
      throw this.refusal('E_INVALID', describeError(error));
    }
  }

  private refuseIf(problem: string | undefined): void {
    if (problem !== undefined) throw this.refusal('E_INVALID', problem);
  }

  private refusal(code: 'E_PARSE' | 'E_INVALID', message: string): AgentError {
    return new AgentError(code, message, { path: `line ${this.parser.line}, column ${this.parser.column}` });
  }
}

function attribute(tag: SaxesTagNS, name: string): string | undefined {
  return Object.hasOwn(tag.attributes, name) ? tag.attributes[name]?.value : undefined;
}

/** Aliases stay when another interface is unplugged, places do not. No two have one name. */
function nameNics(nics: readonly DraftNic[]): DomainNic[] {
  const used = new Set<string>();
  return nics.map(({ type, device, mac, alias, segment, addresses }, place) => {
    const number = /^net(\d{1,9})$/.exec(alias ?? '')?.[1];
    let vnic = number === undefined ? `eth${place}` : `eth${Number(number)}`;
    for (let next = nics.length; used.has(vnic); next += 1) vnic = `eth${next}`;
    used.add(vnic);
    return {
      vnic, type, ...(device === undefined ? {} : { device }), ...(mac === undefined ? {} : { mac }), addresses: [...new Set(addresses)],
      ...(segment === undefined || segment === '' ? {} : { segment }),
    };
  });
}
