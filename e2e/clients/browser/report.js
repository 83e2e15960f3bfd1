// Sends what a page's client dispatches to the test's server, which is not behind the
// bad network.
const query = new URLSearchParams(location.search);
const events = [];
let sending = false;

/** Sends what has come, in order. */
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

addEventListener('error', ({ message }) => deliver('error', message));
addEventListener('unhandledrejection', ({ reason }) => deliver('error', String(reason)));
