"""Reads a URL with aiohttp until it is killed.

By default it ends each request after 5 minutes.
"""
import asyncio

import aiohttp

from stream import PAUSE, Stream, url


async def main():
    stream = Stream()
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        while True:
            try:
                async with session.get(url, headers=stream.headers()) as response:
                    async for line in response.content:
                        stream.read(line.decode().rstrip('\n'))
            except (aiohttp.ClientError, asyncio.TimeoutError):
                pass
            await asyncio.sleep(PAUSE)


asyncio.run(main())
