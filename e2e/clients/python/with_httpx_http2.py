"""Reads a URL with httpx over HTTP/2 until it is killed.

What begins with "ping" is answered, on the same connection. httpx 0.23 takes a
GOAWAY for the end of a connection, but goes on using it, so there is a new client
for each.
"""
import json
import time

import httpx

from stream import PAUSE, Stream, url

update = url.replace('/subscribe', '/update')
stream = Stream()
while True:
    try:
        with httpx.Client(http2=True, verify=False, timeout=30) as client, client.stream('GET', url, headers=stream.headers()) as response:
            response.raise_for_status()
            for line in response.iter_lines():
                data = stream.read(line.rstrip('\n'))
                if data and json.loads(data)['text'].startswith('ping'):
                    client.post(update, json={'text': 'pong'}).raise_for_status()
    except httpx.TransportError:
        pass
    time.sleep(PAUSE)
