/** What is learned completes declared objects: after it is stored, and as long as nobody else declares it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LearningMode } from '../../../../src/discovery/addresses/binding-table.js';
import { LearnedAddresses, type LearnedAddressesOptions } from '../../../../src/discovery/addresses/learned-addresses.js';
import type { SeenFrame } from '../../../../src/discovery/addresses/sightings.js';
import { objectKey, type AttachmentObject, type DesiredObject, type PodObject, type VirtualMachineObject } from '../../../../src/model/objects.js';
import type { Clock } from '../../../../src/platform/clock.js';
import type { Logger } from '../../../../src/platform/logger.js';
import { answer, arp, ipv6, MAC, neighbour, question } from './frames.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
const never = new AbortController().signal;
const OWN = '10.0.0.5';

let now: number;
let timers: { at: number; action: () => void }[];
const clock: Clock = {
  now: () => now, monotonic: () => now,
  after: (delay, action) => {
    const timer = { at: now + delay, action };
    timers.push(timer);
    return () => void (timers = timers.filter((each) => each !== timer));
  },
};
function pass(ms: number): void {
  now += ms;
  for (const timer of timers.filter(({ at }) => at <= now)) {
    timers = timers.filter((each) => each !== timer);
    timer.action();
  }
}

let objects: ReadonlyMap<string, DesiredObject>;
let published: ReadonlyMap<string, DesiredObject>;
let stored: string | undefined;
/** Holds writes back. */
let disk: Promise<void>;
let owners: Map<string, string>;
let ownersRevision: number;
/** What other hosts say. */
let elsewhere: Map<string, string>;
let use: ((frames: readonly SeenFrame[]) => void) | undefined;
let running: LearnedAddresses[];
let reads: () => void;

const machine = (name: string, over: Partial<VirtualMachineObject> = {}): VirtualMachineObject => ({ kind: 'VirtualMachine', metadata: { name, labels: { app: name } }, nics: [{ name: 'eth0', mac: MAC, addresses: [] }], ...over });
const attached = (name: string, over: Partial<AttachmentObject> = {}): AttachmentObject => ({
  kind: 'Attachment', metadata: { name, labels: {} }, workload: { kind: 'VirtualMachine', name }, vnic: 'eth0', interface: `tap-${name}`, addresses: [], ...over,
});
const declare = (...all: readonly DesiredObject[]): void => {
  objects = new Map(all.map((object) => [objectKey(object), object]));
};

async function begin(mode: LearningMode | 'off' = 'firstUse', over: Partial<LearnedAddressesOptions> = {}): Promise<LearnedAddresses> {
  const made = new LearnedAddresses({
    mode, methods: new Set(['arp', 'nd', 'dhcp', 'dhcpv6']), limits: { arp: 1, nd: 2, staleMs: 600_000 }, isServer: undefined,
    reader: {
      start: (listener) => {
        reads();
        use = listener;
      },
      stop: () => {
        use = undefined;
      },
    },
    objects: () => [objects], published: () => published, owners: { revision: () => ownersRevision, ownerOf: (address, key) => (owners.get(address) === key ? undefined : owners.get(address)), elsewhere: (address) => elsewhere.get(address) },
    store: {
      read: () => stored,
      write: async (text) => {
        await disk;
        stored = text;
      },
    },
    clock, log: silent, ...over,
  });
  running.push(made);
  await made.start(never);
  return made;
}
const sees = async (of: LearnedAddresses, payload: Uint8Array, { on = 'tap-web', ethertype = 0x0806, sent = true, mac = MAC } = {}): Promise<void> => {
  use?.([{ interface: on, sent, ethertype, payload, mac }]);
  await of.sync(never);
};
const given = (of: LearnedAddresses): Record<string, unknown> => Object.fromEntries([...of.snapshot().objects].map(([key, object]) => [key, object.kind === 'VirtualMachine' ? object.nics : 'addresses' in object ? object.addresses : undefined]));

beforeEach(() => {
  now = 1_000_000;
  timers = [];
  declare(machine('web'), attached('web'));
  published = new Map();
  stored = undefined;
  disk = Promise.resolve();
  owners = new Map();
  ownersRevision = 1;
  elsewhere = new Map();
  use = undefined;
  running = [];
  reads = () => undefined;
});
afterEach(async () => {
  for (const each of running) await each.stop();
});

describe('what it gives', () => {
  it('the Attachment and its machine with the address in them; listeners hear of it', async () => {
    const source = await begin();
    expect(given(source)).toEqual({});
    let told = 0;
    source.onChange(() => {
      told += 1;
    });
    const { revision } = source.snapshot();
    await sees(source, arp());
    expect(given(source)).toEqual({ 'Attachment/web': [OWN], 'VirtualMachine/web': [{ name: 'eth0', mac: MAC, addresses: [OWN] }] });
    expect([told, source.snapshot().revision > revision, source.learns('web')]).toEqual([1, true, true]);
    // Seen again: nothing changes, nothing is written.
    const before = source.snapshot();
    await sees(source, arp());
    expect([told, source.snapshot() === before]).toEqual([1, true]);
  });

  it('a vNIC that the machine does not name, and a pod without addresses', async () => {
    const pod: PodObject = { kind: 'Pod', metadata: { name: 'p', namespace: 'ns', labels: {} }, addresses: [], ports: [] };
    declare(machine('web', { nics: [] }), attached('web'), pod, attached('p', { workload: { kind: 'Pod', namespace: 'ns', name: 'p' } }));
    const source = await begin();
    await sees(source, arp());
    await sees(source, arp({ sender: '10.0.0.6' }), { on: 'tap-p' });
    expect(given(source)).toEqual({ 'Attachment/web': [OWN], 'VirtualMachine/web': [{ name: 'eth0', addresses: [OWN] }], 'Attachment/p': ['10.0.0.6'], 'Pod/ns/p': ['10.0.0.6'] });
  });

  it('nothing for workloads that declare addresses, of whichever object; of what nobody attached; of nodes', async () => {
    declare(machine('web', { nics: [{ name: 'eth0', addresses: ['10.9.9.9'] }] }), attached('web'), attached('b', { addresses: ['10.9.9.8'] }), attached('n', { workload: { kind: 'Node', name: 'n' } }));
    const source = await begin();
    for (const on of ['tap-web', 'tap-b', 'tap-n', 'tap-x']) await sees(source, arp(), { on });
    expect([given(source), use]).toEqual([{}, undefined]);
  });

  it('what other hosts learned of machines that are declared without addresses', async () => {
    declare(machine('web'), attached('web'), machine('far'), machine('both', { nics: [{ name: 'eth0', addresses: ['10.1.1.1'] }] }));
    published = new Map([machine('far', { nics: [{ name: 'eth0', addresses: ['10.2.2.2'] }] }), machine('web', { nics: [{ name: 'eth0', addresses: ['10.3.3.3'] }] }), machine('both', { nics: [{ name: 'eth0', addresses: ['10.4.4.4'] }] })]
      .map((object) => [objectKey(object), object]));
    const source = await begin();
    // What is attached here is known here.
    expect(given(source)).toEqual({ 'VirtualMachine/far': [{ name: 'eth0', mac: MAC, addresses: ['10.2.2.2'] }] });
  });
});

describe('whom it believes', () => {
  it('a declared MAC address only', async () => {
    const source = await begin();
    await sees(source, arp({ mac: '52:54:00:00:00:99' }), { mac: '52:54:00:00:00:99' });
    expect(given(source)).toEqual({});
  });

  it('servers that are named', async () => {
    const source = await begin('firstUse', { isServer: (address) => address === '10.0.0.2' });
    await sees(source, question(), { ethertype: 0x0800 });
    await sees(source, answer(), { ethertype: 0x0800, sent: false });
    expect(given(source)).toEqual({});
    const other = await begin('firstUse', { isServer: (address) => address === '10.0.0.1' });
    await sees(other, question(), { ethertype: 0x0800 });
    await sees(other, answer(), { ethertype: 0x0800, sent: false });
    expect(given(other)).toMatchObject({ 'Attachment/web': [OWN] });
    expect(other.rows()).toMatchObject([{ address: OWN, by: 'dhcp', expires: now + 600_000 }]);
  });

  it('the ways that are wanted', async () => {
    const source = await begin('firstUse', { methods: new Set(['nd']) });
    await sees(source, arp());
    await sees(source, ipv6(neighbour(136)), { ethertype: 0x86dd });
    expect(given(source)).toMatchObject({ 'Attachment/web': ['fd00::5'] });
  });

  it('an annotation says how, before the configuration', async () => {
    const annotations = (mode: string): AttachmentObject['metadata'] => ({ name: 'web', labels: {}, annotations: { 'dfw.dev/ip-discovery': mode } });
    declare(machine('web'), attached('web', { metadata: annotations('off') }));
    expect((await begin()).learns('web')).toBe(false);
    declare(machine('web', { metadata: annotations('manual') }), attached('web'));
    const source = await begin('off');
    await sees(source, arp());
    expect(source.rows()).toMatchObject([{ mode: 'manual', state: 'pending' }]);
  });
});

describe('somebody else', () => {
  it('declares it: it is not taken; declares it later: it is not given any more, and comes back', async () => {
    const source = await begin();
    await sees(source, arp());
    owners.set(OWN, 'Pod/ns/x');
    ownersRevision += 1;
    expect(given(source)).toEqual({});
    expect(source.rows()).toMatchObject([{ state: 'conflict', owner: 'Pod/ns/x' }]);
    expect(source.problems).toEqual(['Attachment/web: 10.0.0.5 is not learned: Pod/ns/x has it']);
    owners.clear();
    ownersRevision += 1;
    expect(given(source)).toMatchObject({ 'Attachment/web': [OWN] });
  });

  it('on another host keeps an address from being learned, and takes none away', async () => {
    const source = await begin();
    elsewhere.set(OWN, 'VirtualMachine/far');
    await sees(source, arp());
    expect(source.rows()).toMatchObject([{ state: 'conflict', owner: 'VirtualMachine/far' }]);
    elsewhere.clear();
    await sees(source, arp());
    // Both hosts learned it at the same time.
    elsewhere.set(OWN, 'VirtualMachine/far');
    ownersRevision += 1;
    expect(given(source)).toMatchObject({ 'Attachment/web': [OWN] });
  });

  it('learned it first', async () => {
    declare(machine('web'), attached('web'), machine('b', { nics: [] }), attached('b'));
    const source = await begin();
    await sees(source, arp());
    await sees(source, arp(), { on: 'tap-b' });
    expect(source.rows('b')).toMatchObject([{ address: OWN, state: 'conflict', owner: 'VirtualMachine/web' }]);
    await expect(source.approve('b', OWN)).rejects.toMatchObject({ code: 'E_CONFLICT' });
  });
});

describe('time and restarts', () => {
  it('nothing is given before it is stored, so that an end at any moment takes nothing away', async () => {
    const source = await begin();
    let open = (): void => undefined;
    disk = new Promise((resolve) => {
      open = resolve;
    });
    use?.([{ interface: 'tap-web', sent: true, ethertype: 0x0806, payload: arp(), mac: MAC }]);
    expect(given(source)).toEqual({});
    open();
    await source.sync(never);
    expect(given(source)).toMatchObject({ 'Attachment/web': [OWN] });
    expect(given(await begin())).toMatchObject({ 'Attachment/web': [OWN] });
  });

  it('a disk that refuses costs survival, and is said', async () => {
    const source = await begin();
    disk = Promise.reject(new Error('full'));
    disk.catch(() => undefined);
    await sees(source, arp());
    expect(given(source)).toMatchObject({ 'Attachment/web': [OWN] });
    expect(source.problems.join()).toContain('full');
    disk = Promise.resolve();
    pass(5_000);
  });

  it.each(['{', '{"form":9,"vnics":[]}', '{"form":1,"vnics":[{"key":1}]}', '{"form":1,"vnics":[{"key":"k","bindings":[{"address":"1"}]}]}'])('what is stored and damaged is not trusted anew: %s', async (text) => {
    stored = text;
    await expect(begin()).rejects.toMatchObject({ code: 'E_IO', object: 'addresses.json' });
  });

  it('the first one stays over a restart, another is not taken', async () => {
    await sees(await begin(), arp());
    const next = await begin();
    await sees(next, arp({ sender: '10.0.0.66' }));
    expect(given(next)).toMatchObject({ 'Attachment/web': [OWN] });
    await next.release('web');
    expect(given(next)).toEqual({});
    await sees(next, arp({ sender: '10.0.0.66' }));
    expect(given(next)).toMatchObject({ 'Attachment/web': ['10.0.0.66'] });
  });

  it('a lease ends', async () => {
    const source = await begin();
    await sees(source, question(), { ethertype: 0x0800 });
    await sees(source, answer(OWN, 20), { ethertype: 0x0800, sent: false });
    expect(given(source)).toMatchObject({ 'Attachment/web': [OWN] });
    pass(20_000);
    await source.sync(never);
    expect(given(source)).toEqual({});
  });

  it('a reader that cannot is tried again, and said', async () => {
    reads = () => {
      throw new Error('EPERM');
    };
    const source = await begin();
    expect(source.problems).toEqual(['addresses are not learned: EPERM']);
    reads = () => undefined;
    pass(5_000);
    expect(source.problems).toEqual([]);
    await sees(source, arp());
    expect(given(source)).toMatchObject({ 'Attachment/web': [OWN] });
  });

  it('a machine that is started again on another interface keeps what it had', async () => {
    const source = await begin();
    await sees(source, arp());
    declare(machine('web'));
    expect(given(source)).toEqual({});
    declare(machine('web'), attached('web', { interface: 'tap-new' }));
    expect(given(source)).toMatchObject({ 'Attachment/web': [OWN] });
  });
});

describe('approval', () => {
  it('of what waits', async () => {
    const source = await begin('manual');
    await sees(source, arp());
    expect([given(source), source.rows()[0]?.state]).toEqual([{}, 'pending']);
    await expect(source.approve('web', '10.0.0.9')).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
    await expect(source.approve('other', OWN)).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
    expect(await source.approve('web', OWN)).toMatchObject({ address: OWN, state: 'bound' });
    expect(given(source)).toMatchObject({ 'Attachment/web': [OWN] });
    expect(await source.release('web', OWN)).toMatchObject([{ address: OWN }]);
    await expect(source.release('web', OWN)).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
  });
});
