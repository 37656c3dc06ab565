"""Changes the current model: Immich's column and the table of models in one transaction, so that all is old or all new.

The column is written while everybody goes on searching in what was there before. Only the end of the transaction, for a
few seconds, excludes others: indexers do not write vectors, and gateways hold their answers. Whoever then looks sees
the new vectors and the new model.
"""

import asyncio
from dataclasses import dataclass
from time import monotonic
from uuid import UUID

import asyncpg
import structlog
from pgvector import Vector
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from indexer.database import schema
from indexer.database.pool import OwnConnection, Pool, connect_to_immich, hang_up
from indexer.database.statements import queries
from indexer.errors import IndexerError
from indexer.photos import sets
from indexer.photos.sets import Model, NoSuchModelError
from indexer.photos.vectors import as_column, fingerprint, received
from indexer.photos.width import width_advice
from indexer.work import clip_index

log = structlog.get_logger()

GRACE = 3.0  # seconds that Immich may take to search with a vector that it has just been given
_PAGE = 500  # photos staged at once
_TRIES = 3
_WAITS = 30
_START = UUID(int=0)
_SQL = queries("turn")


class TurnError(IndexerError):
    """The model cannot be changed now. The text says why."""


@dataclass(frozen=True)
class Turned:
    """A change that was done: from which model to which, how many photos, and for how many seconds others waited."""

    old: str
    new: str
    photos: int
    seconds: float


async def turn(
    dsn: str,
    name: str,
    *,
    grace: float = GRACE,
    many: int = clip_index.MANY,
    complete: bool = False,
    waits: int = _WAITS,
) -> Turned | None:
    """Make the model `name`, of which there are vectors, the current one. None: another indexer is doing it.

    Args:
        dsn: the database.
        name: of the model.
        grace: seconds between the last answer by the old model and the change.
        many: in a column with so many rows the index is dropped and made again.
        complete: only if every photo that can be found now can be found afterwards.
        waits: seconds to wait for photos that are being read, if `complete`.

    Raises:
        NoSuchModelError: there are no vectors of such a model, or it is the current one.
        TurnError: its vectors do not fit into Immich's column, Immich keeps its rows locked, or a photo lacks a vector.
    """
    connection = await connect_to_immich(dsn)
    try:
        if not await connection.fetchval(_SQL["alone"]):
            return None
        await _plan(connection, name)  # before the index is dropped for nothing
        async with clip_index.dropped(connection, dsn, many):
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type((asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)),
                wait=wait_random_exponential(multiplier=0.2, max=3),
                stop=stop_after_attempt(_TRIES),
                reraise=True,
            ):
                with attempt:
                    return await _turn(connection, name, grace, waits if complete else None)
            raise AssertionError("unreachable: the last attempt raises")
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
        raise TurnError("Immich's vectors stay locked: try again when its jobs have ended") from error
    finally:
        await hang_up(connection)


async def _turn(connection: OwnConnection, name: str, grace: float, waits: int | None) -> Turned:
    async with connection.transaction():  # no savepoints in it: rows are recognised by the transaction's own id
        await connection.execute(_SQL["begin"])
        await connection.execute(_SQL["keep_immich_waiting"])
        old, new, width = await _plan(connection, name)
        await connection.execute(_SQL["stage"])
        await _write(connection, old, new, width)
        for _ in range(waits or 0):  # nobody has to wait for us yet
            if not await connection.fetchval(_SQL["uncovered"]):
                break
            await asyncio.sleep(1)
            await _write(connection, old, new, width)
        await connection.execute(_SQL["exclude"])
        began = monotonic()
        await asyncio.sleep(grace)
        if await schema.vector_width(connection) != width:
            raise TurnError("Immich has just changed the width of its vectors: the change is tried again")
        await _write(connection, old, new, width)
        if waits is not None and (lacking := await connection.fetchval(_SQL["uncovered"])):
            raise TurnError(f"{lacking} photos have no vector of {name} yet")
        await connection.execute(_SQL["delete"])
        await connection.execute(_SQL["forget_stale"])
        await connection.execute(_SQL["make_room"], name)
        await connection.execute(_SQL["step_down"])
        await connection.execute(_SQL["step_up"], name)
        if new.is_immichs:
            await connection.execute(_SQL["forget_immichs"])
        await connection.execute(_SQL["rename_tasks"])
        await connection.execute(_SQL["notify"])
        photos = int(await connection.fetchval("SELECT count(*) FROM staged"))
    turned = Turned(old.name, name, photos, monotonic() - began)
    log.info(
        "the model was changed; restart Immich's server, which remembers up to 100 recent searches by the old one",
        **vars(turned),
    )
    return turned


async def _plan(connection: OwnConnection, name: str) -> tuple[Model, Model, int]:
    """The model in use, the one that replaces it, and the width of Immich's column. Errors as `turn`."""
    found = await sets.read(connection)
    old, new = found.current, found.named(name)
    if old is None or new is None or new.state == "current":
        raise NoSuchModelError(f"{name!r} is no model to change to")
    width = await schema.vector_width(connection)
    if new.dimensions is not None and new.dimensions > width:
        raise TurnError(
            f"the vectors of {name} have {new.dimensions} dimensions, Immich's column {width}: "
            f"{width_advice(new.dimensions)}"
        )
    return old, new, width


async def _write(connection: OwnConnection, old: Model, new: Model, width: int) -> None:
    """Write what is not yet written of the new set into the column, and keep what of the old one is only there."""
    if old.is_immichs:
        await connection.execute(_SQL["keep_immichs"])
    if new.is_immichs:
        await connection.execute(_SQL["stage_immichs"])
    else:
        await _stage(connection, new.name, width)
    await connection.execute(_SQL["analyze"])
    await connection.execute(_SQL["update"])
    await connection.execute(_SQL["insert"])
    await connection.execute(_SQL["mark"], new.name)


async def _stage(connection: OwnConnection, model: str, width: int) -> None:
    last = _START
    while rows := await connection.fetch(_SQL["unstaged"], model, last, _PAGE):
        made = await asyncio.to_thread(_columns, rows, width)
        await connection.execute(_SQL["stage_rows"], *(list(column) for column in zip(*made, strict=True)))
        last = rows[-1]["asset_id"]


def _columns(rows: list[asyncpg.Record], width: int) -> list[tuple[UUID, str, UUID, str | None, str | None]]:
    made = []
    for row in rows:
        column = as_column(received(row["vector"]), width, row["text"], row["public_facts"])
        made.append((row["asset_id"], Vector(column).to_text(), fingerprint(column), row["photo"], row["beside"]))
    return made


async def target(pool: Pool, *, back: bool) -> str:
    """Which model `model switch` (or `model back`) changes to.

    Raises:
        NoSuchModelError: there is none.
    """
    found = await pool.run(sets.read)
    wanted = found.previous if back else found.next or found.previous
    if wanted is None:
        raise NoSuchModelError(
            "there is no earlier model to go back to"
            if back
            else "no change is under way: set CLIP_MODEL to another model, and start an indexer with it"
        )
    return wanted.name
