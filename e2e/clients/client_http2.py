"""Reads a URL with httpx over HTTP/2 until it is killed.

Each event is written as a line of JSON. What begins with "ping" is answered, on the
same connection. httpx 0.23 takes a GOAWAY for the end of a connection, but goes on
using it, so there is a new client for each.
"""
import json
import sys
import time

import httpx

url, last = sys.argv[1], None
update = url.replace('/subscribe', '/update')
while True:
    headers = {'Last-Event-ID': last} if last else {}
    try:
        with httpx.Client(http2=True, verify=False, timeout=30) as client, client.stream('GET', url, headers=headers) as response:
            response.raise_for_status()
            event = {}
            for line in response.iter_lines():
                line = line.rstrip('\n')
                field, _, value = line.partition(':')
                if line:
                    event[field] = value.removeprefix(' ')
                    continue
                if 'data' in event:
                    last = event.get('id', last)
                    print(json.dumps({'event': event.get('event', ''), 'data': event['data']}), flush=True)
                    if json.loads(event['data'])['text'].startswith('ping'):
                        client.post(update, json={'text': 'pong'}).raise_for_status()
                event = {}
    except httpx.TransportError:
        pass
    time.sleep(0.5)
