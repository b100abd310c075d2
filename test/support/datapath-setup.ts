/** Runs before every test file: leaves out what test/support/datapaths.ts says of this datapath, and sources.ts of this source, and says why. */
import { beforeEach, type RunnerTask } from 'vitest';
import { DATAPATH, testsLeftOut, testsOf } from './datapaths.js';
import { ONLY_FROM_FILES, SOURCE } from './sources.js';

declare module 'vitest' {
  interface TaskMeta {
    /** Why the test is not for this datapath or source; scripts/lib/count-tests.mjs does not take it for one that was skipped. */
    leftOut?: string;
  }
}

const SEPARATOR = ' > ';

beforeEach(({ task, skip }) => {
  const { filepath } = task.file;
  const leftOut = new Map([...testsLeftOut(DATAPATH, filepath), ...(SOURCE === 'file' ? [] : testsOf(ONLY_FROM_FILES, filepath))]);
  if (leftOut.size === 0) return;
  const known = task.file.tasks.flatMap((one) => titles(one));
  const unknown = [...leftOut.keys()].filter((test) => !known.some((title) => covers(test, title)));
  if (unknown.length > 0) throw new Error(`a list in test/support names what ${task.file.name} does not have: ${unknown.join('; ')}`);
  for (const [test, reason] of leftOut) {
    if (!covers(test, titleOf(task))) continue;
    task.meta.leftOut = reason;
    skip(`not on ${DATAPATH}, from ${SOURCE}: ${reason}`);
  }
});

/** The test itself, or one of the group of that title. */
function covers(test: string, title: string): boolean {
  return title === test || title.startsWith(test + SEPARATOR);
}

function titles(task: RunnerTask): string[] {
  return task.type === 'suite' ? task.tasks.flatMap((one) => titles(one)) : [titleOf(task)];
}

function titleOf(task: RunnerTask): string {
  return task.suite === undefined || task.suite.id === task.file.id ? task.name : titleOf(task.suite) + SEPARATOR + task.name;
}
