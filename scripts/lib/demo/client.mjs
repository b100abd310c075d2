// client.mjs probe HOST PORT [TEXT]   one connection: prints "connected ANSWER", "refused" or "timeout"
// client.mjs http HOST PORT           one GET: prints the body, or "refused" or "timeout"
// client.mjs hold HOST PORT           keeps one connection busy: prints "open" once, "lost REASON" when answers stop, then ends
import { connect } from 'node:net';

const [mode, host, port, text = ''] = process.argv.slice(2);
const DEADLINE_MS = 3000;

function end(line) {
  console.log(line);
  process.exit(0);
}
function reasonOf(error) {
  return error.code === 'ECONNREFUSED' || error.code === 'EACCES' || error.code === 'EHOSTUNREACH' ? 'refused' : error.code ?? error.message;
}

const socket = connect({ host, port: Number(port) });
socket.setNoDelay(true);
if (mode === 'hold') {
  let lastAnswer = Date.now();
  let told = false;
  socket.on('data', () => {
    lastAnswer = Date.now();
    if (!told) console.log('open');
    told = true;
  });
  socket.on('error', (error) => end(`lost ${reasonOf(error)}`));
  socket.on('close', () => end('lost closed'));
  setInterval(() => {
    if (Date.now() - lastAnswer > DEADLINE_MS) end('lost silence');
    socket.write('still there?\r\n');
  }, 200);
} else {
  let answer = '';
  socket.on('connect', () => {
    if (mode === 'http') socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    else if (text !== '') socket.write(`${text}\r\n`);
  });
  socket.on('data', (data) => {
    answer += data;
    if (mode === 'probe') end(`connected ${answer.trim()}`);
  });
  socket.on('end', () => end(answer.split('\r\n\r\n')[1]?.trim() ?? answer));
  socket.on('error', (error) => end(reasonOf(error)));
  setTimeout(() => end('timeout'), DEADLINE_MS);
}
