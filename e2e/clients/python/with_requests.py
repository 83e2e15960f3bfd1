"""Reads a URL with requests, as most Python programs do, until it is killed.

iter_lines has its defaults: chunks of 512 bytes, and splitlines.
"""
import time

import requests

from stream import PAUSE, Stream, url

stream = Stream()
while True:
    try:
        with requests.get(url, headers=stream.headers(), stream=True, timeout=30) as response:
            response.raise_for_status()
            for line in response.iter_lines():
                stream.read(line.decode())
    except requests.RequestException:
        pass
    time.sleep(PAUSE)
