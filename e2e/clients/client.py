"""Reads a URL with requests, as most Python programs do, until it is killed.

Each event is written as a line of JSON. iter_lines has its defaults: chunks of
512 bytes, and splitlines.
"""
import json
import sys
import time

import requests

url, last = sys.argv[1], None
while True:
    try:
        headers = {'Last-Event-ID': last} if last else {}
        with requests.get(url, headers=headers, stream=True, timeout=30) as response:
            response.raise_for_status()
            event = {}
            for line in response.iter_lines(decode_unicode=False):
                field, _, value = line.decode().partition(':')
                if line:
                    value = value.removeprefix(' ')
                    again = field == 'data' and field in event
                    event[field] = f'{event[field]}\n{value}' if again else value
                    continue
                if 'data' in event:
                    last = event.get('id', last)
                    print(json.dumps({'event': event.get('event', ''), 'data': event['data']}), flush=True)
                event = {}
    except requests.RequestException:
        pass
    time.sleep(0.5)
