/** Loads rulesets with `nft -f` into a fresh namespace, one after the other. Prints how long the last one took, milliseconds. */
import { mustRun } from '../lib/command.js';

const files: string[] = JSON.parse(process.argv[2] ?? '[]');
let ms = 0;
for (const file of files) ({ ms } = await mustRun('nft', ['-f', file]));
console.log(JSON.stringify({ ms }));
