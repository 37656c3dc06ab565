"""Immich's own API, as far as the gateway asks it for anything: starting its jobs."""

from typing import Literal

import aiohttp
from yarl import URL

from indexer.errors import IndexerError, SettingsError

Queue = Literal["faceDetection", "duplicateDetection"]

_TIMEOUT = aiohttp.ClientTimeout(total=30)


class ImmichError(IndexerError):
    """Immich did not do what it was asked."""


class ImmichBusyError(ImmichError):
    """That job is at work already."""


class Immich:
    """Immich's API.

    Args:
        url: Immich's address, with or without /api.
        api_key: of an administrator, with the permission job.create.

    Raises:
        SettingsError: `url` is no address.
    """

    def __init__(self, url: str, api_key: str) -> None:
        try:
            self._url = URL(url.rstrip("/").removesuffix("/api"))
        except ValueError:
            self._url = URL()
        if self._url.scheme not in ("http", "https") or not self._url.host:
            raise SettingsError(f"IMMICH_URL: {url!r} is no address like http://immich-server:2283")
        self._headers = {"x-api-key": api_key}

    async def start_missing(self, queue: Queue) -> None:
        """Have a job do what it has not done yet, as its button "Missing" does.

        Raises:
            ImmichBusyError: the job is at work already; Immich does not start it twice.
            ImmichError: Immich cannot be reached or refuses; the text says what to do.
        """
        address = self._url / "api/jobs" / queue
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as session,
                session.put(address, json={"command": "start", "force": False}, headers=self._headers) as response,
            ):
                status, text = response.status, (await response.text(errors="replace"))[:300]
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ImmichError(
                f"cannot reach Immich at {self._url}: {error or 'no answer'} (check IMMICH_URL)"
            ) from error
        if status in (401, 403):
            raise ImmichError(
                f"Immich refuses IMMICH_API_KEY ({status}): as an administrator make one with the permission job.create"
            )
        if status == 400 and "already running" in text:
            raise ImmichBusyError(f"Immich's job {queue} is at work already")
        if status >= 300:
            raise ImmichError(f"Immich answered {status} to {address.path}: {text} (check IMMICH_URL)")
