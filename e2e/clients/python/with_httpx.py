"""Reads a URL with httpx until it is killed.

Its timeout is the default: it reconnects when nothing has come for 5 s.
"""
import time

import httpx

from stream import PAUSE, Stream, url

stream = Stream()
with httpx.Client() as client:
    while True:
        try:
            with client.stream('GET', url, headers=stream.headers()) as response:
                response.raise_for_status()
                for line in response.iter_lines():
                    stream.read(line.rstrip('\n'))  # newer versions have removed it
        except httpx.HTTPError:
            pass
        time.sleep(PAUSE)
