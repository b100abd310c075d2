// Makes dist/agentctl/ of dist/ctl.js: agentctl and its packages as one script, and what V8 compiled of it while it asked an agent
// for flows. bin/agentctl runs that, and dist/ctl.js where this is missing or older: same program, a third of the start time.
import { chmod, copyFile, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const TARGET = join(ROOT, 'dist/agentctl');

/**
 * string-width loads Unicode tables and a segmenter at once, for texts that are all printable ASCII: those are measured without
 * it. long is a WebAssembly module for 64-bit integers, which protobuf.js does without.
 */
const lighter = {
  name: 'lighter',
  async resolveId(source, importer) {
    if (source === 'long') return '\0no-long';
    // bin/agentctl runs dist/ctl.js for --etcd.
    if (source === './app/etcd-manager.js') return '\0no-manager';
    if (source !== 'string-width' || importer?.startsWith('\0')) return null;
    const resolved = await this.resolve(source, importer, { skipSelf: true });
    return `\0ascii-width:${resolved.id}`;
  },
  load(id) {
    if (id === '\0no-long') return 'export default null;';
    if (id === '\0no-manager') return "export function openEtcdManager() { throw new Error('the bundled agentctl has no etcd'); }";
    if (!id.startsWith('\0ascii-width:')) return null;
    const original = JSON.stringify(id.slice('\0ascii-width:'.length));
    return `export default function stringWidth(text, options) {
      return typeof text === 'string' && /^[ -~]*$/.test(text) ? text.length : require(${original}).default(text, options);
    }`;
  },
};

async function bundle(file) {
  const build = await rolldown({
    input: join(ROOT, 'dist/ctl.js'),
    platform: 'node',
    // Of services that agentctl does not have (grpc-js requires it late).
    external: ['@grpc/proto-loader'],
    plugins: [lighter],
    // yargs' optional feature of extending configurations asks for import.meta.resolve, which a script has not.
    transform: { define: { 'import.meta.resolve': 'undefined' } },
  });
  const { output } = await build.generate({ format: 'cjs', codeSplitting: false, minify: { compress: false, mangle: false, codegen: { removeWhitespace: true } } });
  await build.close();
  const [chunk, ...more] = output;
  if (more.length > 0) throw new Error(`one file was expected, not ${output.map(({ fileName }) => fileName).join(', ')}`);
  // ASCII: V8 then keeps one byte a character. In strings, templates and regular expressions alike an escape means the same.
  await writeFile(file, chunk.code.replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`));
}

/** An agent that has one filter and no flows, as far as one request needs it. */
async function withAgent(socketPath, use) {
  const { ApiServer } = await import('../../dist/api/server.js');
  const silent = () => undefined;
  const log = { error: silent, warn: silent, info: silent, debug: silent, child: () => log };
  const api = { getFlows: async () => ({ counts: { active: 0, inactive: 0, drop: 0 }, chunks: [Buffer.from('no flows\n')] }) };
  const server = new ApiServer({ api, socketPath, log, peerCredentials: () => ({ pid: process.pid, uid: 0, gid: 0 }), allow: () => true });
  await server.start();
  try {
    await use();
  } finally {
    await server.stop();
  }
}

/** Runs the bundle here once; every function that it called is compiled then. */
async function compiled(directory) {
  const require = createRequire(join(directory, 'agentctl.cjs'));
  const { compile } = require('./start.cjs');
  const script = compile(directory);
  const socket = join(directory, 'agent.sock');
  await withAgent(socket, async () => {
    process.argv = [process.argv[0], 'agentctl', 'getflows', '-f', 'x', '--socket', socket];
    process.stdout.write = (_chunk, done) => {
      if (typeof done === 'function') done();
      return true;
    };
    process.exitCode = undefined;
    script.runInThisContext()({}, require, {}, join(TARGET, 'agentctl.cjs'), TARGET);
    for (let waited = 0; process.exitCode === undefined && waited < 30_000; waited += 10) await new Promise((resolve) => setTimeout(resolve, 10));
    if (process.exitCode !== 0) throw new Error(`the bundled agentctl ended with ${process.exitCode}`);
  });
  return script.createCachedData();
}

const directory = await mkdtemp(join(ROOT, 'dist/.agentctl-'));
try {
  await copyFile(join(ROOT, 'scripts/lib/agentctl-start.cjs'), join(directory, 'start.cjs'));
  await bundle(join(directory, 'agentctl.cjs'));
  await writeFile(join(directory, 'agentctl.cache'), await compiled(directory));
  await chmod(directory, 0o755);
  await rm(TARGET, { recursive: true, force: true });
  await rename(directory, TARGET);
} finally {
  await rm(directory, { recursive: true, force: true });
}
