// Uses the client as programs in TypeScript do. tsc only checks it.

import { Chat } from '../public/sse-chat.js';

export async function use(chat: Chat) {
  const typing = ({ data }: MessageEvent<{ room: string; author?: string; signal: string }>) => data.author;
  chat.addEventListener('signal', typing);
  chat.removeEventListener('signal', typing);
  await chat.signal();
  const answer = await chat.send({ text: 'hello' });
  const changed = await chat.change(answer.id, { append: '!' });
  return [answer, changed].map((one) => (one.deleted ? one.id : one.text));
}
