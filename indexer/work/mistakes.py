"""Photos that earlier versions gave up though they were not to blame: those counted every error against the photo."""

from collections.abc import Sequence
from uuid import UUID

from indexer.database.pool import Connection, Pool
from indexer.database.statements import queries
from indexer.queue import backlog, requests
from indexer.work import verdicts
from indexer.work.verdicts import Verdict

_SQL = queries("queue")


async def find(connection: Connection | Pool, assets: Sequence[UUID] | None = None) -> list[UUID]:
    """The photos, of all or of `assets`, that were given up for an error of the machine."""
    reasons = await backlog.given_up(connection, assets)
    return [asset for asset, reason in reasons.items() if verdicts.of_reason(reason) is Verdict.MACHINE]


async def undo(pool: Pool) -> int:
    """Try these photos again, once in the life of an installation. Returns how many there were."""
    return await pool.transact(_undo)


async def _undo(connection: Connection) -> int:
    if await connection.fetchval(_SQL["judge"]) is None:
        return 0
    found = await find(connection)
    return len(await requests.retry(connection, found)) if found else 0
