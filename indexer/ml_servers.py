"""Immich's own machine-learning servers: their addresses, and whether they are well."""

import os

import aiohttp
from yarl import URL

from indexer.errors import SettingsError

_PING_TIMEOUT = aiohttp.ClientTimeout(total=2)  # Immich's own


def parse_urls(text: str) -> list[URL]:
    """The addresses in IMMICH_ML_URL, separated by commas.

    Raises:
        SettingsError: one of them is no http(s) address.
    """
    urls = []
    for part in filter(None, (piece.strip().rstrip("/") for piece in text.split(","))):
        try:
            url = URL(part)
        except ValueError:
            url = URL()
        if url.scheme not in ("http", "https") or not url.host:
            raise SettingsError(f"IMMICH_ML_URL: {part!r} is no address like http://immich-machine-learning:3003")
        urls.append(url)
    return urls


def name_of(url: URL) -> str:
    """The address without any password, to be shown."""
    return str(url.with_user(None))


async def ping(session: aiohttp.ClientSession, url: URL) -> str:
    """Why the server is not well, asked as Immich asks it; empty if it is."""
    try:
        async with session.get(url / "ping", timeout=_PING_TIMEOUT) as response:
            return "" if response.ok else f"/ping answered {response.status}"
    except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
        return explain(error)


def explain(error: BaseException) -> str:
    """What aiohttp raised, in words for a person."""
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, OSError):
        cause = error.os_error
        errno = cause.errno or 0
        return os.strerror(errno) if errno > 0 else cause.strerror or str(cause) or "no connection"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
