// Takes visitors' forms and publishes them as HTML: node backend.mjs htmx|turbo|datastar
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
const { CHAT = 'https://chat.example.com', CHAT_TOKEN, PORT = 9092 } = process.env;
// a text must not contain markup, nor the end of a line, after which Datastar reads options
const escape = (text) => text.replace(/[&<>"'\p{Cc}\p{Zl}\p{Zp}]/gu, (c) => `&#${c.codePointAt()};`);
const messages = {
  htmx: (html) => ({ text: html }),
  turbo: (html) => ({ text: `<turbo-stream action="append" target="board"><template>${html}</template></turbo-stream>` }),
  datastar: (html) => ({ event: 'datastar-patch-elements', text: `selector #board\nmode append\nelements ${html}` }),
};
const message = messages[process.argv[2]];

async function say(request) {
  // browsers send this header; other sites' pages must not post in a visitor's name
  if (request.method !== 'POST' || (request.headers['sec-fetch-site'] ?? 'same-origin') !== 'same-origin') return 403;
  let form = '';
  for await (const part of request.setEncoding('utf8')) form += part;
  const text = new URLSearchParams(form).get('text')?.trim();
  if (!text) return 400;
  const { ok, status } = await fetch(`${CHAT}/update?room=board`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${CHAT_TOKEN}` },
    body: JSON.stringify(message(`<li id="${randomUUID()}">${escape(text)}</li>`)),
  });
  return ok ? 204 : status;
}

createServer((request, response) => {
  say(request).catch(() => 503).then((status) => response.writeHead(status).end());
}).listen(PORT, '127.0.0.1');
