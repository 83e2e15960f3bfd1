const messages = [];
const ids = [];
const source = new EventSource('/subscribe');
source.addEventListener('message', (event) => {
  const message = JSON.parse(event.data);
  messages.push(message);
  ids.push(event.lastEventId);
  const item = document.createElement('li');
  item.textContent = message.text;
  document.getElementById('list').append(item);
});
