"""The tags `reindex`, `reindex/ocr` and `reindex/clip`: each is taken as a request once, and removed when that is done.

Whatever the event, what counts is which tags a photo has, and which of them were a request already. So what Immich
rewrites, or an event that is lost or told twice, makes no second request.

Only Immich's API may remove a tag: Immich also stores tags in files, and would read them from there again.
"""

import asyncio
from collections.abc import Sequence
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
_AT_ONCE = 100  # photos in one call: Immich writes a file for each of them
_FEW = 20  # photos that a person is assumed to wait for. More at once go after new uploads


async def look(connection: Connection | Pool, assets: Sequence[UUID], *, waited_for: bool = True) -> int:
    """Enqueue those of `assets` that were tagged since they were last looked at. Returns how many.

    `waited_for`: if they are few, they go before everything else.
    """
    return await connection.fetchval(_SQL["look"], assets, _FEW if waited_for else 0) or 0


async def catch_up(pool: Pool) -> int:
    """Enqueue tagged photos that were missed, and forget tags that are gone. Returns how many were missed."""
    assets = [row["asset_id"] for row in await pool.fetch(_SQL["missed"])]
    return await look(pool, assets, waited_for=False) if assets else 0


async def enqueue(pool: Pool, asset: UUID, owner: UUID) -> bool | None:
    """Enqueue a photo of `owner`'s that has the tag, unless that was done.

    Returns whether it has the tag. None: Immich shows this user no such photo.
    """
    tagged: bool | None = await pool.fetchval(_SQL["theirs"], asset, owner)
    if tagged:
        await look(pool, [asset])
    return tagged


class Untagger:
    """Removes the tag from photos that were read. Where our key may not, the tag stays, and nothing is read again."""

    def __init__(self, pool: Pool, immich: Immich) -> None:
        self._pool = pool
        self._immich = immich
        self._foreign: set[UUID] = set()
        self._trouble = ""

    async def run(self, interval: float) -> None:
        """Do a round every `interval` seconds, without end."""
        backoff = Backoff(interval)
        while True:
            failure: Exception | None = None
            try:
                await self.round()
                self._trouble = ""
            except (*TROUBLE, IndexerError) as error:
                failure = error
                trouble = str(error) if isinstance(error, IndexerError) else explain(error)
                if trouble != self._trouble:  # log each trouble once
                    self._trouble = trouble
                    log.warning("cannot remove the tag reindex", reason=trouble)
            await asyncio.sleep(backoff.after(failure))

    async def round(self) -> int:
        """Remove the tags that can be removed now. Returns from how many photos. Raises as `Immich.remove_tag`."""
        removed = 0
        for row in await self._pool.fetch(_SQL["done"], list(self._foreign), _AT_ONCE):
            try:
                removed += await self._immich.remove_tag(row["tag_id"], row["assets"])
            except ForeignTagError as error:
                self._foreign.add(row["tag_id"])
                log.warning(
                    "the tag reindex stays: its owner is not that of IMMICH_API_KEY, and can remove it by hand",
                    tag=str(row["tag_id"]),
                    reason=str(error),
                )
        if removed:
            log.info("removed the tag reindex", photos=removed)
        return removed
