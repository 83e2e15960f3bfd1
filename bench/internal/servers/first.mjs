// What this chat began as: one process, one array of clients.
import http from 'node:http';

const [host, port] = process.argv[2].split(':');
const clients = [];

function subscribe(response) {
  response.writeHead(200, {
    'Content-Type': 'text/event-stream',
    'Cache-Control': 'no-cache',
    Connection: 'keep-alive',
  });
  response.write('retry: 10000\n');
  clients.push(response);
}

function update(request, response) {
  let body = '';
  request.on('data', (chunk) => { body += chunk; });
  request.on('end', () => {
    const { text } = JSON.parse(body);
    const timestamp = Date.now();
    const message = { text, timestamp };
    for (const client of clients) {
      client.write(`id: ${timestamp}\ndata: ${JSON.stringify(message)}\n\n`);
    }
    response.writeHead(200, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify(message));
  });
}

const server = http.createServer((request, response) => {
  if (request.method === 'GET' && request.url === '/subscribe') {
    subscribe(response);
  } else if (request.method === 'POST' && request.url === '/update') {
    update(request, response);
  } else {
    response.writeHead(404).end();
  }
});
server.keepAliveTimeout = 0; // or publishers that wait for long would be cut
server.listen({ host, port: Number(port), backlog: 4096 });
