// server.mjs KIND PORT: a small server of the demonstration, on every address of its namespace, until it is killed.
//   ssh     greets with a banner and echoes lines      redis   answers every line with +PONG
//   http    answers with a page                        attack  answers as a web server that was broken into (the output of "id")
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';

const [kind, port] = process.argv.slice(2);
const page = (text) => createHttpServer((_request, response) => response.writeHead(200, { 'content-type': 'text/plain', 'content-length': text.length }).end(text));
const lines = (greeting, answer) => createServer((socket) => {
  socket.on('error', () => socket.destroy());
  if (greeting !== '') socket.write(greeting);
  socket.on('data', (data) => socket.write(answer(data)));
});
const SERVERS = {
  ssh: () => lines('SSH-2.0-demo\r\n', (data) => data),
  redis: () => lines('', () => '+PONG\r\n'),
  http: () => page('hello from the demonstration\n'),
  attack: () => page('uid=0(root) gid=0(root) groups=0(root)\n'),
};
SERVERS[kind]().listen(Number(port), '::', () => console.log('listening'));
