// Indexes all messages and searches them: WEBHOOK_SECRET=… node index.mjs
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

const index = new Map(); // messages by id; yours is a database

/** Whether the chat signed the body within the last 5 minutes. */
function isSigned(header, body) {
	const [, t, v1] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(header) ?? [];
	if (!v1 || Math.abs(Date.now() / 1000 - Number(t)) > 300) return false;
	const mac = createHmac('sha256', process.env.WEBHOOK_SECRET).update(`${t}.`).update(body).digest();
	return timingSafeEqual(mac, Buffer.from(v1, 'hex'));
}

/** Orders ids, which are <ms> or <ms>-<n>. */
function compare(a, b) {
	const [[ms1, n1 = 0], [ms2, n2 = 0]] = [a, b].map((id) => id.split('-').map(Number));
	return ms1 - ms2 || n1 - n2;
}

/** The room was forgotten. */
function forget(room, through) {
	for (const [id, old] of index) {
		if (old.room === room && compare(id, through) <= 0) index.delete(id);
	}
}

function take({ room, message, id, through, reason }) {
	if (message) index.set(message.id, { ...message, room }); // new, or as it is now
	else if (id) index.delete(id);
	else if (through) forget(room, through);
	else console.error('messages were lost:', reason);
}

createServer(async (request, response) => {
	try {
		const chunks = [];
		for await (const chunk of request) chunks.push(chunk);
		const body = Buffer.concat(chunks);
		if (request.method === 'GET') {
			const words = new URL(request.url, 'http://localhost').searchParams.get('q') ?? '';
			response.end(JSON.stringify([...index.values()].filter(({ text }) => text.includes(words))));
		} else if (isSigned(request.headers['sse-chat-signature'], body)) {
			JSON.parse(body).forEach(take);
			response.writeHead(204).end();
		} else {
			response.writeHead(403).end();
		}
	} catch (error) {
		console.error(error);
		response.writeHead(500).end(); // so it is repeated
	}
}).listen(Number(process.env.PORT ?? 9094), 'localhost');
