// Runs the client of public/sse-chat.js in Node. It prints each event as a line of JSON,
// and calls what it is told to on standard input, until that ends.
import { createInterface } from 'node:readline';
import { Chat } from '../public/sse-chat.js';

// what a browser tells a page of its network
const browser = new EventTarget();
globalThis.addEventListener = (...args) => browser.addEventListener(...args);
const [options, ...named] = process.argv.slice(2);
const chat = new Chat(JSON.parse(options));
const print = (type, data) => console.log(JSON.stringify({ type, data }));

for (const type of ['message', 'change', 'delete', 'gap', 'live', 'statechange', ...named]) {
  chat.addEventListener(type, ({ data }) => print(type, data));
}
for await (const line of createInterface({ input: process.stdin })) {
  const { call, args } = JSON.parse(line);
  if (call === 'messages') {
    print('messages', chat.messages.map(({ text }) => text));
    continue;
  }
  if (call === 'online') {
    browser.dispatchEvent(new Event(call));
    continue;
  }
  if (args[1]?.abortAfter) args[1].signal = AbortSignal.timeout(args[1].abortAfter);
  Promise.resolve(chat[call](...args)).then(
    (answer) => print(call, answer),
    ({ code, status, message }) => print('error', { code, status, message }),
  );
}
chat.close();
