"""Writes the progress of an indexer's downloads into the database, where `status` and the console read it."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from uuid import UUID

import structlog

from indexer.database.pool import Connection, Pool
from indexer.database.statements import queries
from indexer.database.trouble import TROUBLE, explain
from indexer.models.fetcher import Fetcher
from indexer.models.model_files import DownloadState

log = structlog.get_logger()

_SQL = queries("downloads")


async def tell(pool: Pool, worker: UUID, fetcher: Fetcher, interval: float) -> None:
    """Every `interval` seconds, until cancelled, write what has changed in the downloads of `worker`."""
    told: str | None = None
    while True:
        now = _written([download for download in fetcher.downloads if download.missing])
        if now != told:
            try:
                await pool.execute(_SQL["tell"], str(worker), now)
                told = now
            except TROUBLE as error:  # other tasks log that the database is away
                log.debug("cannot write the progress of downloads", error=explain(error))
        await asyncio.sleep(interval)


async def told(connection: Connection | Pool) -> list[DownloadState]:
    """The downloads that living workers wait for."""
    return [_read(row["one"]) for row in await connection.fetch(_SQL["told"])]


def _written(downloads: Sequence[DownloadState]) -> str:
    return json.dumps([download.as_json for download in downloads])


def _read(text: str) -> DownloadState:
    """A state as stored. Another version may have written it, with other fields."""
    known = {field.name for field in fields(DownloadState)}
    given = {name: value for name, value in json.loads(text).items() if name in known}
    if given.get("next_try"):
        given["next_try"] = datetime.fromisoformat(given["next_try"])
    return DownloadState(**given)
