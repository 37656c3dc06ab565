"""The tag `reindex` (or `reindex/ocr`, `reindex/clip`): found where its event was missed, taken off what was read.

Only Immich may take it off, through its API: it keeps tags in files too, and writes them back from there.
"""

import asyncio
from uuid import UUID

import structlog

from indexer.database.backoff import Backoff
from indexer.database.pool import Connection, Pool
from indexer.database.statements import queries
from indexer.database.trouble import TROUBLE, explain
from indexer.errors import IndexerError
from indexer.immich.api import ForeignTagError, Immich

log = structlog.get_logger()

_SQL = queries("tags")
_AT_ONCE = 100  # photos in one call: Immich writes a file for each
_FEW = 20  # photos that are waited for; more at once come after new uploads, as in the trigger


async def catch_up(connection: Connection | Pool) -> int:
    """Wish for tagged photos whose event was missed; forget tags that are gone. Returns how many were missed."""
    await connection.execute(_SQL["forget"])
    return await connection.fetchval(_SQL["missed"]) or 0


async def enqueue(connection: Connection | Pool, asset: UUID, owner: UUID) -> bool | None:
    """Wish for a photo of `owner`'s that bears the tag, unless the trigger did.

    Returns whether it bears the tag; None: they are shown no such photo.
    """
    row = await connection.fetchrow(_SQL["enqueue"], asset, owner, _FEW)
    assert row is not None  # noqa: S101 - a select without FROM always has a row
    return None if not row["theirs"] else row["tagged"]


class Untagger:
    """Takes the tag off photos that were read. One whose tag the key may not touch keeps it, and is not read again."""

    def __init__(self, pool: Pool, immich: Immich) -> None:
        self._pool = pool
        self._immich = immich
        self._foreign: set[UUID] = set()
        self._trouble = ""

    async def run(self, interval: float) -> None:
        """Look every `interval` seconds, for ever."""
        backoff = Backoff(interval)
        while True:
            failure: Exception | None = None
            try:
                await self.round()
                self._trouble = ""
            except (*TROUBLE, IndexerError) as error:
                failure = error
                trouble = str(error) if isinstance(error, IndexerError) else explain(error)
                if trouble != self._trouble:  # the same line again and again tells nobody anything
                    self._trouble = trouble
                    log.warning("cannot take the tag reindex off", reason=trouble)
            await asyncio.sleep(backoff.after(failure))

    async def round(self) -> int:
        """Take off what can be taken off now. Returns off how many photos. Raises as `Immich.take_off`."""
        taken_off = 0
        for row in await self._pool.fetch(_SQL["done"], list(self._foreign), _AT_ONCE):
            try:
                taken_off += await self._immich.take_off(row["tag_id"], row["assets"])
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
