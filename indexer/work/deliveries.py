"""Tells everybody, through the database, how far the weights are that an indexer waits for."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from uuid import UUID

import structlog

from indexer.database.pool import PATIENCE, Connection, Pool, within
from indexer.database.statements import queries
from indexer.database.trouble import TROUBLE, explain
from indexer.models.stock import Delivery
from indexer.models.supply import Supply

log = structlog.get_logger()

_SQL = queries("deliveries")
_PAUSE = 2.0  # seconds between two looks


async def tell(pool: Pool, worker: UUID, supply: Supply) -> None:
    """Keep what `worker` tells of its supply up to date, for ever."""
    told: str | None = None
    while True:
        now = _written([delivery for delivery in supply.deliveries if delivery.missing])
        if now != told:
            try:
                await within(PATIENCE, pool.execute(_SQL["tell"], str(worker), now))
                told = now
            except TROUBLE as error:  # the others say that there is no database
                log.debug("cannot tell of the weights", error=explain(error))
        await asyncio.sleep(_PAUSE)


async def told(connection: Connection | Pool) -> list[Delivery]:
    """What living workers wait for."""
    return [_read(row["one"]) for row in await connection.fetch(_SQL["told"])]


def _written(deliveries: Sequence[Delivery]) -> str:
    return json.dumps([delivery.as_json for delivery in deliveries])


def _read(text: str) -> Delivery:
    """Also one that another version wrote."""
    known = {field.name for field in fields(Delivery)}
    given = {name: value for name, value in json.loads(text).items() if name in known}
    if given.get("next_try"):
        given["next_try"] = datetime.fromisoformat(given["next_try"])
    return Delivery(**given)
