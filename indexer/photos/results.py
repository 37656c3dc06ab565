"""Writes the results of reading photos: into our own table, and into the columns that Immich searches.

Immich's columns always follow from our table (`apply`). So the same code writes them the first time, fills them again
after Immich deleted its vectors, and repairs a text.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from indexer.database.pool import Connection, Pool
from indexer.database.schema import vector_width
from indexer.database.statements import queries
from indexer.immich import tokens as immich
from indexer.photos import photo as photos
from indexer.photos import rows, sets
from indexer.photos.columns import Known, compose
from indexer.photos.reading import Reading
from indexer.queue.claims import Queue
from indexer.queue.jobs import Job

_SQL = queries("results")


async def write(
    pool: Pool, queue: Queue, readings: Sequence[Reading], alphabet: frozenset[str] | None = None
) -> dict[Job, bool]:
    """Write `readings` and complete their jobs, in one transaction. The job of a photo read in part fails or waits.

    It skips jobs that are no longer ours, and photos that meanwhile are deleted, hidden or in the trash. Immich's lines
    with letters outside our recogniser's `alphabet` stay, beside ours. `alphabet` None: it has every letter. Returns
    the failed jobs, and for each whether it was given up.

    Raises:
        asyncpg.PostgresError: nothing was written. Of class 22 or 23: Immich may have changed the vector column or
            deleted an asset since we looked. Try again.
    """
    return await pool.transact(lambda connection: _write(connection, queue, readings, alphabet))


async def _write(
    connection: Connection, queue: Queue, readings: Sequence[Reading], alphabet: frozenset[str] | None
) -> dict[Job, bool]:
    await connection.execute(_SQL["begin"])
    held = await queue.hold(connection, (reading.job for reading in readings))
    mine = [reading for reading in readings if reading.job.asset_id in held]
    ids = [reading.job.asset_id for reading in mine]
    eligible = await apply(connection, ids, readings=mine, alphabet=alphabet)
    kept = [reading for reading in mine if reading.job.asset_id in eligible]
    if len(kept) < len(mine):
        await connection.execute(_SQL["forget"], ids)
    left = {reading.job for reading in kept if not reading.whole}
    await queue.complete(connection, [reading.job for reading in mine if reading.job not in left])
    failed = {}
    for reading in kept:
        job, tasks = reading.job, {"done": reading.done, "left": reading.left}
        if reading.waiting:
            await queue.release(job, reading.reason, reading.pause, connection=connection, **tasks)
        elif reading.failed:
            failed[job] = await queue.fail(job, reading.reason, connection=connection, **tasks)
    return failed


async def restore(pool: Pool, assets: Sequence[UUID], alphabet: frozenset[str] | None = None) -> int:
    """Make Immich's columns follow our table, for the eligible of `assets`, in one transaction. Returns how many.

    `alphabet` as in `write`.
    """

    async def transaction(connection: Connection) -> int:
        await connection.execute(_SQL["begin"])
        return len(await apply(connection, assets, alphabet=alphabet))

    return await pool.transact(transaction)


async def apply(
    connection: Connection,
    assets: Sequence[UUID],
    *,
    readings: Sequence[Reading] = (),
    alphabet: frozenset[str] | None = None,
) -> set[UUID]:
    """Store `readings`, and make Immich's columns follow our table for the eligible of `assets`. Returns those.

    Inside a transaction. `alphabet` as in `write`. No lock that Immich may wait for is held before the last statements.
    """
    await rows.lock(connection, assets)  # also of those that are no longer eligible: `write` may forget them
    stored = [row for row in await rows.stored(connection, assets) if row["eligible"]]
    if not stored:
        return set()
    eligible = {row["asset_id"] for row in stored}
    read = {reading.job.asset_id: reading for reading in readings}
    told = [row["asset_id"] for row in stored if row["lines"] is not None or _has_lines(read.get(row["asset_id"]))]
    known = Known(
        stored,
        crops=await photos.crops(connection, told) if told else {},
        width=await vector_width(connection),
        alphabet=alphabet,
        theirs=await rows.their_lines(connection, told) if told and alphabet is not None else {},
    )
    composed = await asyncio.to_thread(compose, known, read)  # a millisecond a photo: the event loop has other work
    if stored[0]["several"]:
        made = [reading for asset, reading in read.items() if asset in eligible]
        photos_by = {reading.job.asset_id: reading.clip_model for reading in made if reading.clip_model is not None}
        await sets.keep(connection, photos_by)
        await rows.write(connection, *composed)
        await sets.store(connection, photos_by, [reading.beside for reading in made if reading.beside is not None])
        if beside := [row["asset_id"] for row in stored if not row["own"] or row["asset_id"] in photos_by]:
            await sets.mark(connection, beside)
    else:
        await rows.write(connection, *composed)
    unread = eligible.difference(told)
    for row in await connection.fetch(_SQL["foreign_lines"], list(unread)) if unread else []:
        await connection.execute(_SQL["apply_search_text"], [row["asset_id"]], [immich.search_text(row["lines"])])
    return eligible


def _has_lines(reading: Reading | None) -> bool:
    return reading is not None and reading.lines is not None
