// Decides about each message before it is stored: node approve.mjs
import { createServer } from 'node:http';

const rude = /\b(darn|heck)\b/gi;

/** What becomes of a message: an object with what replaces it. */
const clean = ({ text, append }) => ({ text: (text ?? append ?? '').replace(rude, '***') || undefined });

createServer(async (request, response) => {
	if (request.method !== 'POST') {
		response.writeHead(405).end();
		return;
	}
	try {
		let body = '';
		for await (const chunk of request) body += chunk;
		const { room, message, messages, client_ip } = JSON.parse(body);
		if (room === 'archive') {
			response.writeHead(422, { 'Content-Type': 'application/json' });
			response.end(JSON.stringify({ error: 'nobody can write in this room any more' }));
			return;
		}
		console.log(client_ip, 'writes in', room);
		response.end(JSON.stringify(messages ? messages.map(clean) : clean(message)));
	} catch (error) {
		console.error(error);
		response.writeHead(500).end();
	}
}).listen(Number(process.env.PORT ?? 9093), 'localhost');
