// counts the messages since the last click, for all pages of the site together
const bell = document.getElementById('bell'), key = `seen ${bell.dataset.room}`;
let last = localStorage[key] ?? '', count = 0;
const show = (n) => { count = n; bell.textContent = `🔔 ${n || ''}`; };
function open() {
  const stream = new EventSource(`/subscribe?room=${bell.dataset.room}&last_event_id=${last}`);
  stream.addEventListener('start', ({ lastEventId }) => { localStorage[key] = last = lastEventId; });
  stream.onmessage = ({ lastEventId }) => { last = lastEventId; show(count + 1); };
  // at any status but 200, a browser gives up
  stream.onerror = () => stream.readyState === EventSource.CLOSED && setTimeout(open, 2000 + 3000 * Math.random());
}
bell.onclick = () => { localStorage[key] = last; show(0); };
addEventListener('storage', (event) => event.key === key && show(0)); // a click in another tab
show(0);
open();
