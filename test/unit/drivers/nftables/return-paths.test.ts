import { beforeEach, describe, expect, it } from 'vitest';
import { ReturnPathDriver } from '../../../../src/drivers/nftables/return-paths.js';
import type { ReturnPaths } from '../../../../src/native/binding.js';
import { CollectingLogger } from '../../../contract/api-support/collecting-logger.js';

const WEB = '02:00:00:00:00:01';
const CLIENT = '02:00:00:00:00:02';

/** The kernel as test/contract/native-return-paths.test.ts knows it: a program a device, by id. */
class Kernel implements Pick<ReturnPaths, 'set' | 'read' | 'remove'> {
  readonly programs = new Map<number, { id: number; entries: string[] }>();
  refuse = false;
  private last = 0;

  set(device: number, { entries }: { mark: number; entries: Uint8Array }): Promise<number> {
    if (this.refuse) return Promise.reject(Object.assign(new Error('bpf(BPF_PROG_LOAD): EPERM'), { code: 'EPERM' }));
    this.last += 1;
    const list = Array.from({ length: entries.length / 12 }, (_, n) => entries.subarray(n * 12, n * 12 + 12))
      .map((entry) => `${[...entry.subarray(0, 6)].map((part) => part.toString(16).padStart(2, '0')).join(':')} ${entry[6] === 0 ? 'from' : 'to'} ${new DataView(entry.buffer, entry.byteOffset).getUint32(8, true)}`);
    this.programs.set(device, { id: this.last, entries: list });
    return Promise.resolve(this.last);
  }
  read(device: number): Promise<number> {
    return Promise.resolve(this.programs.get(device)?.id ?? 0);
  }
  remove(device: number): Promise<void> {
    this.programs.delete(device);
    return Promise.resolve();
  }
}

describe('return paths', () => {
  let kernel: Kernel;
  let driver: ReturnPathDriver;
  beforeEach(() => {
    kernel = new Kernel();
    driver = new ReturnPathDriver({ kernel, mark: 0x40, log: new CollectingLogger() });
  });
  const out = { mac: WEB, side: 'out', interfaceIndex: 7 } as const;

  it('writes what is new, and nothing twice', async () => {
    expect(await driver.apply(new Map([[3, [out, { ...out, side: 'in' }]]]), [3, 4])).toBe(true);
    expect(kernel.programs.get(3)?.entries).toEqual([`${WEB} from 7`, `${WEB} to 7`]);
    expect(await driver.apply(new Map([[3, [out, { ...out, side: 'in' }]]]), [3, 4])).toBe(false);
    expect(kernel.programs.get(3)?.id).toBe(1);
  });

  it('keeps for one more change what was wanted before; an interface that is another now counts at once', async () => {
    await driver.apply(new Map([[3, [out]]]), [3, 4]);
    await driver.apply(new Map([[3, [{ mac: CLIENT, side: 'in', interfaceIndex: 9 }]]]), [3, 4]);
    expect(kernel.programs.get(3)?.entries).toEqual([`${WEB} from 7`, `${CLIENT} to 9`]);
    await driver.apply(new Map([[3, [{ mac: CLIENT, side: 'in', interfaceIndex: 10 }]]]), [3, 4]);
    expect(kernel.programs.get(3)?.entries).toEqual([`${CLIENT} to 10`]);
  });

  it('lets go of a device at the second apply that does not want it', async () => {
    await driver.apply(new Map([[3, [out]]]), [3, 4]);
    expect(await driver.apply(new Map(), [3, 4])).toBe(false);
    expect([driver.leaving, kernel.programs.has(3)]).toEqual([true, true]);
    await driver.apply(new Map([[3, [out]]]), [3, 4]);
    expect(driver.leaving).toBe(false);
    await driver.apply(new Map(), [3, 4]);
    expect(await driver.apply(new Map(), [3, 4])).toBe(true);
    expect([driver.leaving, kernel.programs.has(3)]).toEqual([false, false]);
  });

  it('says why not, and tries again', async () => {
    kernel.refuse = true;
    expect(await driver.apply(new Map([[3, [out]]]), [3, 4])).toBe(false);
    expect(driver.refusal).toContain('CAP_BPF');
    kernel.refuse = false;
    await driver.apply(new Map([[3, [out]]]), [3, 4]);
    expect([driver.refusal, kernel.programs.size]).toEqual([undefined, 1]);
  });

  it('notices what somebody removed or replaced, and sets it again', async () => {
    await driver.apply(new Map([[3, [out]]]), [3, 4]);
    expect(await driver.drifted()).toBeUndefined();
    kernel.programs.delete(3);
    expect(await driver.drifted()).toContain('interface 3');
    await driver.apply(new Map([[3, [out]]]), [3, 4]);
    expect(kernel.programs.has(3)).toBe(true);
  });

  it('what a former process left is let go of where it is not wanted, and replaced where it is', async () => {
    await driver.apply(new Map([[3, [out]], [4, [out]]]), [3, 4]);
    const next = new ReturnPathDriver({ kernel, mark: 0x40, log: new CollectingLogger() });
    expect(await next.apply(new Map([[4, [out]]]), [3, 4])).toBe(true);
    expect([next.leaving, kernel.programs.get(4)?.id]).toEqual([true, 3]);
    await next.apply(new Map([[4, [out]]]), [3, 4]);
    expect([...kernel.programs.keys()]).toEqual([4]);
    const last = new ReturnPathDriver({ kernel, mark: 0x40, log: new CollectingLogger() });
    await last.cleanup([3, 4]);
    expect(kernel.programs.size).toBe(0);
  });

  it('cleans up', async () => {
    await driver.apply(new Map([[3, [out]], [4, [out]]]), [3, 4]);
    await driver.cleanup([3, 4]);
    expect(kernel.programs.size).toBe(0);
  });
});
