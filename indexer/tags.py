"""The tag `reindex` (or `reindex/ocr`, `reindex/clip`): found where its event was missed, taken off what was read.

Only Immich may take it off, through its API: it keeps tags in files too, and writes them back from there.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from uuid import UUID

import aiohttp
import structlog
from pydantic import BaseModel, TypeAdapter, ValidationError
from yarl import URL

from indexer.database import TROUBLE, Connection, Pool, explain, queries
from indexer.errors import IndexerError, SettingsError

log = structlog.get_logger()

_SQL = queries("tags")
_TIMEOUT = aiohttp.ClientTimeout(total=30)
_AT_ONCE = 100  # photos in one call: Immich writes a file for each


class _Outcome(BaseModel):
    """What Immich says of one photo."""

    success: bool
    error: str | None = None


_OUTCOMES = TypeAdapter(list[_Outcome])


class ForeignTagError(IndexerError):
    """The tag is of another person than the API key, and may not be taken off with it."""


async def catch_up(connection: Connection | Pool) -> int:
    """Wish for tagged photos whose event was missed; forget tags that are gone. Returns how many were missed."""
    await connection.execute(_SQL["forget"])
    return await connection.fetchval(_SQL["missed"]) or 0


class Tags:
    """Immich's tags, as far as its API lets one person's key take them off.

    Args:
        url: Immich's address, with or without /api.
        api_key: with the permission tag.asset.

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

    async def take_off(self, tag: UUID, assets: Sequence[UUID]) -> int:
        """Take `tag` off `assets`. Returns off how many.

        Raises:
            ForeignTagError: it is of another person, or the photos are.
            IndexerError: Immich cannot be reached or refuses; the text says what to do.
        """
        address = self._url / "api/tags" / str(tag) / "assets"
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT, headers=self._headers) as session,
                session.delete(address, json={"ids": [str(asset) for asset in assets]}) as response,
            ):
                status, text = response.status, await response.text(errors="replace")
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = error or "no answer"
            raise IndexerError(f"cannot reach Immich at {self._url}: {reason} (check IMMICH_URL)") from error
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise IndexerError(f"Immich refuses IMMICH_API_KEY ({status}): give it the permission tag.asset")
        if status == HTTPStatus.BAD_REQUEST:  # what Immich says of what is not one's own
            raise ForeignTagError(_reason(text))
        try:
            outcomes = _OUTCOMES.validate_json(text if status < HTTPStatus.MULTIPLE_CHOICES else "")
        except ValidationError:
            raise IndexerError(f"Immich answered {status} to {address.path}: {text[:300]} (check IMMICH_URL)") from None
        if any(outcome.error == "no_permission" for outcome in outcomes):
            raise ForeignTagError("no_permission")
        return sum(outcome.success for outcome in outcomes)


def _reason(text: str) -> str:
    """What Immich says, without the JSON around it."""
    with suppress(ValueError, TypeError, KeyError):
        return str(json.loads(text)["message"])[:300]
    return text[:300]


class Untagger:
    """Takes the tag off photos that were read. One whose tag the key may not touch keeps it, and is not read again."""

    def __init__(self, pool: Pool, tags: Tags) -> None:
        self._pool = pool
        self._tags = tags
        self._foreign: set[UUID] = set()
        self._trouble = ""

    async def run(self, interval: float) -> None:
        """Look every `interval` seconds, for ever."""
        while True:
            try:
                await self.round()
                self._trouble = ""
            except (*TROUBLE, IndexerError) as error:
                trouble = str(error) if isinstance(error, IndexerError) else explain(error)
                if trouble != self._trouble:  # the same line again and again tells nobody anything
                    self._trouble = trouble
                    log.warning("cannot take the tag reindex off", reason=trouble)
            await asyncio.sleep(interval)

    async def round(self) -> int:
        """Take off what can be taken off now. Returns off how many photos. Raises as `Tags.take_off`."""
        taken_off = 0
        for row in await self._pool.fetch(_SQL["done"], list(self._foreign), _AT_ONCE):
            try:
                taken_off += await self._tags.take_off(row["tag_id"], row["assets"])
            except ForeignTagError as error:
                self._foreign.add(row["tag_id"])
                log.warning(
                    "the tag reindex stays: it is of another person than IMMICH_API_KEY, who may take it off by hand",
                    tag=str(row["tag_id"]),
                    reason=str(error),
                )
        if taken_off:
            log.info("took the tag reindex off", photos=taken_off)
        return taken_off
