"""Immich's own machine-learning servers: their addresses, and whether they work."""

import asyncio
import os
from collections.abc import Sequence

import aiohttp
from yarl import URL

from indexer.errors import words_of

_PING_TIMEOUT = aiohttp.ClientTimeout(total=2)  # Immich's own


def name_of(url: URL) -> str:
    """The address without its password, for people."""
    return str(url.with_user(None))


async def ping(session: aiohttp.ClientSession, url: URL) -> str:
    """Why the server does not work, asked as Immich asks. Empty if it works."""
    try:
        async with session.get(url / "ping", timeout=_PING_TIMEOUT) as response:
            return "" if response.ok else f"/ping answered {response.status}"
    except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
        return explain(error)


async def any_answers(urls: Sequence[URL]) -> bool:
    """Whether one of the servers works."""
    async with aiohttp.ClientSession() as session:
        return not all(await asyncio.gather(*(ping(session, url) for url in urls)))


def explain(error: BaseException) -> str:
    """An error of aiohttp, in words for a person."""
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, OSError):
        cause = error.os_error
        errno = cause.errno or 0
        return os.strerror(errno) if errno > 0 else cause.strerror or str(cause) or "no connection"
    return "no answer in time" if isinstance(error, TimeoutError) else words_of(error)
