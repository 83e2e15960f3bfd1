// Answers !ping in a room with pong: node bot.mjs [http://localhost:3000 [room]]
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
const [site = 'http://localhost:3000', room = 'lobby'] = process.argv.slice(2);
const update = (message) => fetch(`${site}/update?room=${room}`, { method: 'POST', body: JSON.stringify(message) });
for (let last = ''; ; await new Promise((again) => setTimeout(again, 1000))) try {
  const stream = await fetch(`${site}/subscribe?name=bot&room=${room}&last_event_id=${last}`);
  if (stream.status === 204) break; // kicked
  for await (const line of createInterface(Readable.fromWeb(stream.body))) {
    const { id, text } = line.startsWith('data: ') ? JSON.parse(line.slice(6)) : {};
    // the nonce makes a repeat harmless; without an answer, come back for this message
    if (text === '!ping' && !(await update({ text: 'pong', name: 'bot', nonce: `pong-${id}` })).ok) break;
    last = id ?? last;
  }
} catch { /* the server is away, or the network */ }
