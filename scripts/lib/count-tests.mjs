// count-tests.mjs REPORTS CI FAILED_STAGE...: sums vitest's JSON reports, says once more what failed and why (a log may be cut to its end),
// and prints the closing line of scripts/test.
// Exit 0 only when no test and no stage failed and, with CI "true", nothing was skipped. Tests that a datapath leaves out with a reason
// (test/support/datapath-setup.ts) are told apart: a list in the checkout says which they are.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const [directory, ci, ...failedStages] = process.argv.slice(2);
let passed = 0;
let failed = 0;
let skipped = 0;
let leftOut = 0;
const failuresOf = new Map();
// Of a message: what was expected, and a property's seed and counterexample.
const MESSAGE_LINES = 40;
const OUTSIDE_LINES = 60;

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
  for (const suite of report.testResults) tell(path.relative(process.cwd(), suite.name), suite, unloaded.includes(suite));
  failuresOf.set(path.basename(file, '.json'), failures);
}
function tell(file, suite, unloaded) {
  for (const test of suite.assertionResults.filter(({ status, failureMessages }) => status === 'passed' && failureMessages.length > 0)) {
    console.log(`passed at the second try: ${file}: ${test.fullName}: ${test.failureMessages[0].split('\n')[0]}`);
  }
  const said = suite.assertionResults.filter((test) => test.status === 'failed').map((test) => [test.fullName, test.failureMessages.join('\n')]);
  if (unloaded) said.push(['(not loaded)', suite.message ?? '']);
  for (const [name, message] of said) console.log(`FAILED ${file}: ${name}\n${message.split('\n').slice(0, MESSAGE_LINES).join('\n')}\n`);
}

for (const stage of failedStages.filter((name) => (failuresOf.get(name) ?? 0) === 0)) {
  failed += 1;
  const log = path.join(directory, `${stage}.log`);
  if (existsSync(log)) console.log(`FAILED ${stage}, though none of its tests did:\n${outsideTests(readFileSync(log, 'utf8').split('\n'))}\n`);
}
/** What vitest says of errors that belong to no test; of a run that died, how it ended. */
function outsideTests(lines) {
  const first = lines.findIndex((line) => /Unhandled (Error|Rejection)|Uncaught Exception/.test(line));
  return (first >= 0 ? lines.slice(first, first + OUTSIDE_LINES) : lines.slice(-OUTSIDE_LINES)).join('\n');
}

if (failedStages.length > 0) console.log(`failed: ${failedStages.join(', ')}`);
if (skipped > 0 && ci === 'true') {
  console.log(`${skipped} tests were skipped, which CI does not allow; they count as failed`);
  failed += skipped;
  skipped = 0;
}
if (leftOut > 0) console.log(`${leftOut} tests are not for the datapath that they were left out on: test/support/datapaths.ts`);
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exitCode = failed === 0 ? 0 : 1;
