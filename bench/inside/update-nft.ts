/**
 * The same changes with the nft command: loads a file into a fresh namespace, then runs each command line or file of the
 * request. Prints the milliseconds of each.
 */
import { mustRun } from '../lib/command.js';

interface NftRequest {
  readonly load: string;
  /** Arguments of nft, one run each. */
  readonly runs: readonly (readonly string[])[];
}

const request: NftRequest = JSON.parse(process.argv[2] ?? '{}');
await mustRun('nft', ['-f', request.load]);
const times: number[] = [];
for (const run of request.runs) times.push((await mustRun('nft', run)).ms);
console.log(JSON.stringify({ times }));
