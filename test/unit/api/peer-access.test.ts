import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { groupId, peerAccess } from '../../../src/api/peer-access.js';
import type { AccountFiles } from '../../../src/api/peer-access.js';

let folder: string;
let files: AccountFiles;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'dfw-access-'));
  files = { group: join(folder, 'group'), passwd: join(folder, 'passwd'), proc: join(folder, 'proc') };
  writeFileSync(files.group, 'root:x:0:\ndfw:x:990:alice,bob\ndfw2:x:991:\nbroken:x:\n');
  writeFileSync(files.passwd, 'root:x:0:0:::\nalice:x:1000:1000:::\ncarol:x:1002:1002:::\nprefix-alice:x:1003:1003:::\n');
  for (const [pid, uid, groups] of [['10', '1002', '1002 990'], ['11', '1002', '1002 9900'], ['12', '4242', '4242 990']] as const) {
    mkdirSync(join(files.proc, pid), { recursive: true });
    writeFileSync(join(files.proc, pid, 'status'), `Name:\tnode\nUid:\t${uid}\t${uid}\t${uid}\t${uid}\nGid:\t${uid}\t${uid}\t${uid}\t${uid}\nGroups:\t${groups} \n`);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('who may use the socket', () => {
  test.each([
    ['root', { pid: 1, uid: 0, gid: 0 }, true],
    ['the group as primary group', { pid: 99, uid: 7, gid: 990 }, true],
    ['an account that the group lists', { pid: 99, uid: 1000, gid: 1000 }, true],
    ['an account whose name ends like a listed one', { pid: 99, uid: 1003, gid: 1003 }, false],
    ['a process with the group as supplementary group', { pid: 10, uid: 1002, gid: 1002 }, true],
    ['a process with a group whose number begins alike', { pid: 11, uid: 1002, gid: 1002 }, false],
    ['a pid that another user has meanwhile', { pid: 12, uid: 1002, gid: 1002 }, false],
    ['a process that is gone', { pid: 77, uid: 1002, gid: 1002 }, false],
  ])('%s', (_who, peer, admitted) => {
    expect(peerAccess('dfw', files)(peer)).toBe(admitted);
  });

  test('only root without a group, with an unknown group, and when the files cannot be read', () => {
    const alice = { pid: 99, uid: 1000, gid: 1000 };
    const root = { pid: 1, uid: 0, gid: 0 };
    for (const access of [peerAccess(undefined, files), peerAccess('nobody-knows', files), peerAccess('dfw', { ...files, group: join(folder, 'missing') })]) {
      expect(access(alice)).toBe(false);
      expect(access(root)).toBe(true);
    }
  });

  test('groupId', () => {
    expect(groupId('dfw', files)).toBe(990);
    expect(groupId('dfw3', files)).toBeUndefined();
    expect(groupId('broken', files)).toBeUndefined();
  });
});
