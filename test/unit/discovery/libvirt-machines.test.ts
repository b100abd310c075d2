import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LibvirtDirectory } from '../../../src/discovery/libvirt-files.js';
import { LibvirtMachines } from '../../../src/discovery/libvirt-machines.js';
import { objectKey, type DesiredObject, type VirtualMachineObject } from '../../../src/model/objects.js';
import { systemClock } from '../../../src/platform/clock.js';
import type { Logger } from '../../../src/platform/logger.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
const never = new AbortController().signal;
const uuid = (digit: string): string => `${digit.repeat(8)}-1111-4111-8111-111111111111`;
const mac = (digit: string): string => `52:54:00:00:00:0${digit}`;
const domain = (name: string, digit: string, more = ''): string => `<domstatus state='running'><domain type='kvm' id='1'><name>${name}</name><uuid>${uuid(digit)}</uuid><devices>
<interface type='bridge'><mac address='${mac(digit)}'/><target dev='vnet${digit}'/><alias name='net0'/></interface>${more}</devices></domain></domstatus>`;
const machine = (name: string, over: Partial<VirtualMachineObject> = {}): VirtualMachineObject => ({ kind: 'VirtualMachine', metadata: { name, labels: {} }, nics: [], ...over });

let directory: string;
let declared: ReadonlyMap<string, DesiredObject>;
let stored: string | undefined;
let running: LibvirtMachines[];

beforeEach(() => {
  directory = join(mkdtempSync(join(tmpdir(), 'dfw-libvirt-')), 'qemu');
  mkdirSync(directory);
  declared = new Map();
  stored = undefined;
  running = [];
});
afterEach(async () => {
  for (const each of running) await each.stop();
  rmSync(join(directory, '..'), { recursive: true, force: true });
});

const declare = (...objects: readonly DesiredObject[]): void => {
  declared = new Map(objects.map((object) => [objectKey(object), object]));
};
/** As libvirt writes: beside it, then in its place. */
const put = (name: string, text: string): void => {
  writeFileSync(join(directory, `${name}.new`), text);
  renameSync(join(directory, `${name}.new`), join(directory, name));
};
async function machines(): Promise<LibvirtMachines> {
  const found = new LibvirtMachines({
    files: new LibvirtDirectory(directory), declared: () => [declared], clock: systemClock, log: silent,
    store: {
      read: () => stored,
      write: async (text) => {
        stored = text;
        return Promise.resolve();
      },
    },
  });
  running.push(found);
  await found.start(never);
  return found;
}
const shown = (found: LibvirtMachines): string[] => [...found.snapshot().objects.values()].map((object) => (object.kind === 'Attachment' ? `${object.workload.name}/${object.vnic}=${object.interface}` : objectKey(object))).sort();
async function until(found: LibvirtMachines, expected: readonly string[]): Promise<void> {
  const end = Date.now() + 3_000;
  while (shown(found).join() !== expected.join() && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(shown(found)).toEqual(expected);
}

describe('machines of libvirt', () => {
  it('come and go with their files, which are watched', async () => {
    put('a.xml', domain('a', '1'));
    writeFileSync(join(directory, 'a.pid'), '1');
    const found = await machines();
    let told = 0;
    found.onChange(() => {
      told += 1;
    });
    expect(shown(found)).toEqual(['VirtualMachine/a', 'a/eth0=vnet1']);
    expect(found.snapshot().manifests.get('Attachment/libvirt-a.eth0')).toEqual({
      apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name: 'libvirt-a.eth0' }, spec: { workload: { kind: 'VirtualMachine', name: 'a' }, vnic: 'eth0', interface: 'vnet1', mac: mac('1') },
    });
    put('b.xml', domain('b', '2'));
    await until(found, ['VirtualMachine/a', 'VirtualMachine/b', 'a/eth0=vnet1', 'b/eth0=vnet2']);
    expect(told).toBe(1);
    // Written again without a change of ours.
    put('b.xml', domain('b', '2', '<sound/>'));
    rmSync(join(directory, 'a.xml'));
    await until(found, ['VirtualMachine/b', 'b/eth0=vnet2']);
    expect(told).toBe(2);
  });

  it('keep what a file said while it is broken, over a restart too', async () => {
    put('a.xml', domain('a', '1'));
    const first = await machines();
    put('a.xml', domain('a', '1').replace('</domain>', ''));
    await first.sync(never);
    expect(shown(first)).toEqual(['VirtualMachine/a', 'a/eth0=vnet1']);
    expect(first.snapshot().errors).toEqual([{ object: 'a.xml', path: expect.stringMatching(/^line 2, column/) as string, message: expect.any(String) as string }]);
    await first.stop();
    const second = await machines();
    expect([shown(second), second.snapshot().errors.length]).toEqual([['VirtualMachine/a', 'a/eth0=vnet1'], 1]);
    put('a.xml', domain('a', '1'));
    await second.sync(never);
    expect(second.snapshot().errors).toEqual([]);
  });

  it('keep what they had when the directory goes, and need none at the start', async () => {
    put('a.xml', domain('a', '1'));
    const found = await machines();
    rmSync(directory, { recursive: true });
    await found.sync(never);
    expect([shown(found), found.problems]).toEqual([['VirtualMachine/a', 'a/eth0=vnet1'], ["libvirt's status files cannot be read: their directory is gone"]]);
    mkdirSync(directory);
    put('b.xml', domain('b', '2'));
    await found.sync(never);
    expect([shown(found), found.problems]).toEqual([['VirtualMachine/b', 'b/eth0=vnet2'], []]);
    // Watched again.
    put('c.xml', domain('c', '3'));
    await until(found, ['VirtualMachine/b', 'VirtualMachine/c', 'b/eth0=vnet2', 'c/eth0=vnet3']);
    await found.stop();
    stored = undefined;
    rmSync(directory, { recursive: true });
    const none = await machines();
    expect([none.synced, shown(none), none.problems]).toEqual([true, [], []]);
  });

  it('are those that are declared: by uuid, else by name, with the vNIC of the same MAC address', async () => {
    for (const [name, digit] of [['a', '1'], ['b', '2'], ['c', '3']] as const) put(`${name}.xml`, domain(name, digit));
    declare(
      machine('declared-a', { uuid: uuid('1').toUpperCase(), nics: [{ name: 'front', mac: mac('1'), addresses: ['10.0.0.1'] }] }), machine('b'), machine('c', { uuid: uuid('9') }),
    );
    const found = await machines();
    expect(shown(found)).toEqual(['b/eth0=vnet2', 'declared-a/front=vnet1']);
    expect(found.problems).toEqual([`virtual machine c of libvirt has no filter: VirtualMachine/c has another spec.uuid than ${uuid('3')}`]);
    declare({ kind: 'Attachment', metadata: { name: 'own', labels: {} }, workload: { kind: 'VirtualMachine', name: 'x' }, vnic: 'eth0', interface: 'vnet2', addresses: [] });
    expect(shown(found)).toEqual(['VirtualMachine/a', 'VirtualMachine/b', 'VirtualMachine/c', 'a/eth0=vnet1', 'c/eth0=vnet3']);
  });

  it('say what they cannot filter', async () => {
    put('a.xml', domain('a', '1', "<interface type='direct'><target dev='macvtap0'/></interface><interface type='hostdev'/>"));
    const found = await machines();
    expect([shown(found), found.problems]).toEqual([['VirtualMachine/a', 'a/eth0=vnet1'], ['interface macvtap0 of virtual machine a has no filter: type direct goes past the datapath']]);
  });
});
