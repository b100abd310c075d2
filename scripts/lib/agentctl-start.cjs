// Starts agentctl.cjs, the bundle beside this file, with the machine code V8 kept of an earlier run (agentctl.cache): Node 20 has
// no compile cache of its own. V8 refuses a cache of another version, other flags or another text; then it compiles as ever.
'use strict';
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { Script } = require('node:vm');

/** The bundle as a function of (exports, require, module, __filename, __dirname), as Node wraps CommonJS. */
function compile(directory) {
  const filename = join(directory, 'agentctl.cjs');
  let cachedData;
  try {
    cachedData = readFileSync(join(directory, 'agentctl.cache'));
  } catch {
    // Not there while the bundle is made; without it everything works, only slower.
  }
  // The bundle is ASCII: Latin-1 is read without a conversion.
  const text = readFileSync(filename, 'latin1');
  return new Script(`(function (exports, require, module, __filename, __dirname) {${text}\n})`, { filename, cachedData });
}

module.exports = { compile };
if (require.main === module) compile(__dirname).runInThisContext()(exports, require, module, join(__dirname, 'agentctl.cjs'), __dirname);
