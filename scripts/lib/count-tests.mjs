// count-tests.mjs REPORTS CI FAILED_STAGE...: sums vitest's JSON reports and prints the closing line of scripts/test.
// Exit 0 only when no test and no stage failed and, with CI "true", nothing was skipped. Tests that a datapath leaves out with a reason
// (test/support/datapath-setup.ts) are told apart: a list in the checkout says which they are.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const [directory, ci, ...failedStages] = process.argv.slice(2);
let passed = 0;
let failed = 0;
let skipped = 0;
let leftOut = 0;
const failuresOf = new Map();

for (const file of readdirSync(directory).filter((name) => name.endsWith('.json'))) {
  const report = JSON.parse(readFileSync(path.join(directory, file), 'utf8'));
  passed += report.numPassedTests;
  const notHere = report.testResults.flatMap((suite) => suite.assertionResults).filter((test) => test.status === 'skipped' && test.meta?.leftOut !== undefined).length;
  leftOut += notHere;
  skipped += report.numPendingTests + report.numTodoTests - notHere;
  // A test file that does not even load has no failed test in it, but has failed.
  const unloaded = report.testResults.filter((suite) => suite.status === 'failed' && !suite.assertionResults.some((test) => test.status === 'failed'));
  const failures = report.numFailedTests + unloaded.length;
  failed += failures;
  failuresOf.set(path.basename(file, '.json'), failures);
}
for (const stage of failedStages) if ((failuresOf.get(stage) ?? 0) === 0) failed += 1;

if (failedStages.length > 0) console.log(`failed: ${failedStages.join(', ')}`);
if (skipped > 0 && ci === 'true') {
  console.log(`${skipped} tests were skipped, which CI does not allow; they count as failed`);
  failed += skipped;
  skipped = 0;
}
if (leftOut > 0) console.log(`${leftOut} tests are not for the datapath that they were left out on: test/support/datapaths.ts`);
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exitCode = failed === 0 ? 0 : 1;
