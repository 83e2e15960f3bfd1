// Answers !ping in a room with pong: node bot.mjs [http://localhost:3000 [room]]
import { createHmac, randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
const [site = 'http://localhost:3000', room = 'lobby'] = process.argv.slice(2);
const secret = randomBytes(16);
const update = (message) => fetch(`${site}/update?room=${room}`, { method: 'POST', body: JSON.stringify(message) });
// the same for every attempt to answer a message, and impossible to guess
const nonceFor = (id) => createHmac('sha256', secret).update(id).digest('hex').slice(0, 32);
for (let last = ''; ; await new Promise((again) => setTimeout(again, 1000))) try {
  const stream = await fetch(`${site}/subscribe?events=1&name=bot&room=${room}&last_event_id=${last}`);
  if (stream.status === 204) break; // kicked
  let event = '', id = last;
  for await (const line of createInterface(Readable.fromWeb(stream.body))) {
    const [, field, value] = /^(\w+): (.*)/.exec(line) ?? [];
    if (line === '') event = '';
    if (field === 'event') event = value;
    if (field === 'id') id = value;
    if (field !== 'data') continue;
    if (event === '' && JSON.parse(value).text === '!ping') { // messages have no event name
      // if the post fails, reconnect and read this message again
      if (!(await update({ text: 'pong', name: 'bot', nonce: nonceFor(id) })).ok) break;
    }
    last = id;
  }
} catch { /* the server or the network is down */ }
