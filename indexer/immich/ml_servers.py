"""Immich's own machine-learning servers: their addresses, and whether they work."""

import asyncio
import json
import os
from collections.abc import Sequence

import aiohttp
from yarl import URL

from indexer.errors import IndexerError, words_of

_PREDICT_TIMEOUT = aiohttp.ClientTimeout(total=120)  # it may have to load its model first
_PING_TIMEOUT = aiohttp.ClientTimeout(total=2)  # Immich's own


class MlServerError(IndexerError):
    """No server gives an answer that can be used. The text says why."""


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


async def embed(urls: Sequence[URL], model: str, texts: Sequence[tuple[str, str | None]]) -> list[list[float]]:
    """The vectors of texts, each with its language or None, by Immich's own CLIP `model`, asked as Immich asks.

    Raises:
        MlServerError: no server answers. The text says what the last one said.
    """
    async with aiohttp.ClientSession(timeout=_PREDICT_TIMEOUT) as session:
        return [await _embed(session, urls, model, text, language) for text, language in texts]


async def _embed(
    session: aiohttp.ClientSession, urls: Sequence[URL], model: str, text: str, language: str | None
) -> list[float]:
    options = {"language": language} if language else {}
    entries = json.dumps({"clip": {"textual": {"modelName": model, "options": options}}})
    said = "IMMICH_ML_URL is not set"
    for url in urls:
        try:
            form = aiohttp.FormData({"entries": entries, "text": text}, default_to_multipart=True)
            async with session.post(url / "predict", data=form) as response:
                response.raise_for_status()
                numbers: list[float] = json.loads((await response.json())["clip"])
                return numbers
        except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError) as error:
            said = f"{name_of(url)}: {explain(error)}"
    raise MlServerError(f"Immich's machine-learning server makes no vector of a text: {said}")


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
