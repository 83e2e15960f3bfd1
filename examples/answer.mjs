// Writes standard input into one message, piece by piece as it comes:
// some-model | node answer.mjs [http://localhost:3000 [room]]
import { randomBytes } from 'node:crypto';
const [site = 'http://localhost:3000', room = 'lobby'] = process.argv.slice(2);
const headers = { Authorization: `Author-Key ${randomBytes(24).toString('base64url')}` }; // whose the message is
async function send(method, query, message) {
  const body = JSON.stringify({ ...message, nonce: randomBytes(16).toString('hex') }); // so that repeats do no harm
  for (;; await new Promise((again) => setTimeout(again, 1000))) {
    const answer = await fetch(`${site}/update?room=${room}${query}`, { method, headers, body }).catch(() => undefined);
    const text = await answer?.text().catch(() => undefined);
    if (text === undefined) continue; // the server or the network is down
    if (answer.ok) return JSON.parse(text);
    if (answer.status < 500 && answer.status !== 429) throw new Error(text);
  }
}
let id = '', held = '', size = 0; // of the message; a message cannot begin with white space alone
for await (const piece of process.stdin.setEncoding('utf8')) {
  if ((size += Buffer.byteLength(piece)) > 8000) [id, size] = ['', 0]; // max_text is 8 KiB: go on in another message
  if (id) await send('PATCH', `&id=${id}`, { append: piece });
  else if ((held += piece).trim()) {
    ({ id } = await send('POST', '', { text: held, name: 'bot' }));
    held = '';
  }
}
