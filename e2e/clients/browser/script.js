// The browser's built-in EventSource, or a polyfill of it, without help. What begins
// with "ping" is answered.
const source = new EventSource(query.get('source'));
for (const event of ['message', 'gap', 'start']) {
  source.addEventListener(event, ({ data }) => deliver(event, data));
}
source.addEventListener('message', async ({ data }) => {
  if (!data.includes('"text":"ping')) return;
  const answer = await fetch(query.get('source').replace('/subscribe', '/update'), { method: 'POST', body: '{"text":"pong"}' });
  if (!answer.ok) deliver('post', answer.status);
});
source.addEventListener('error', () => {
  if (source.readyState === EventSource.CLOSED) deliver('closed', '');
});
