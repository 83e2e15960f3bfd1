// The browser's built-in EventSource, without help: everything it dispatches is
// sent to the test's server. What begins with "ping" is answered.
const query = new URLSearchParams(location.search);
const events = [];
let sending = false;

/** Sends what has come, in order. The server is not behind the bad network. */
const send = async () => {
  if (sending) return;
  sending = true;
  while (events.length > 0) {
    await fetch(query.get('report'), { method: 'POST', mode: 'no-cors', body: JSON.stringify(events.splice(0)) });
  }
  sending = false;
};

const deliver = (event, data) => {
  events.push({ event, data });
  void send();
};

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
