"""Writes the results of reading photos: into our own table, and from there into the columns that Immich searches.

Immich's columns are always derived from our table (`apply`). So the same code writes them the first time, fills them
again after Immich deleted its vectors, and repairs a text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import numpy as np
import numpy.typing as npt
from pgvector import HalfVector, Vector

from indexer.database.pool import Connection, Pool
from indexer.database.schema import vector_width
from indexer.database.statements import queries
from indexer.immich import tokens as immich
from indexer.models.ocr import Line
from indexer.photos import lexical
from indexer.photos import photo as photos
from indexer.photos.foreign_lines import merge
from indexer.photos.lines import StoredLine, dump_lines, parse_lines, visible_text
from indexer.photos.photo import Photo
from indexer.photos.vectors import as_column, fingerprint, received
from indexer.queue.claims import Queue
from indexer.queue.jobs import Job
from indexer.queue.tasks import parts
from indexer.text import buckets, tokens
from indexer.text.normalise import normalise

_SQL = queries("results")

_PARTS = {"clip": "no vector was made", "ocr": "the text was not read"}


@dataclass(frozen=True)
class Reading:
    """What was read of one photo. A part that was not read again is None, and its stored result stays.

    `digest` None: the preview was not opened, only derived columns are updated. `vector` has the model's dimensions,
    float32, L2-normalised. `failed`: why a wanted part (clip, ocr) could not be read. `waiting`: why a part could not
    be read yet, for a reason not caused by the photo. It is tried again after `pause` seconds.
    """

    job: Job
    photo: Photo | None
    digest: bytes | None = None
    clip_model: str | None = None
    vector: npt.NDArray[np.float32] | None = None
    ocr_model: str | None = None
    lines: Sequence[Line] | None = None
    failed: Mapping[str, str] = field(default_factory=dict)
    waiting: Mapping[str, str] = field(default_factory=dict)
    pause: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether everything that was wanted was read."""
        return not self.failed and not self.waiting

    @property
    def reason(self) -> str:
        """Why a part could not be read. Empty if all were. What it waits for has precedence over why it failed."""
        return "; ".join(f"{_PARTS[part]}: {why}" for part, why in (self.waiting or self.failed).items())

    @property
    def done(self) -> frozenset[str]:
        """The tasks that are complete."""
        unread = self.failed.keys() | self.waiting.keys()
        return frozenset(task for task in self.job.tasks if not parts([task]) & unread)

    @property
    def left(self) -> frozenset[str]:
        """Parts that nobody asked for and that could not be read, though the preview is new."""
        unread = self.failed.keys() | self.waiting.keys()
        return frozenset(unread - parts(self.job.tasks))


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
    eligible = {row["id"] for row in await connection.fetch(_SQL["eligible"], ids)}
    kept = [reading for reading in mine if reading.job.asset_id in eligible]
    await _store(connection, [reading for reading in kept if reading.digest is not None], alphabet)
    await apply(
        connection,
        [reading.job.asset_id for reading in kept],
        read=[reading.job.asset_id for reading in kept if reading.lines is not None],
        alphabet=alphabet,
    )
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
        eligible = [row["id"] for row in await connection.fetch(_SQL["eligible"], assets)]
        await apply(connection, eligible, alphabet=alphabet)
        return len(eligible)

    return await pool.transact(transaction)


async def apply(
    connection: Connection,
    assets: Sequence[UUID],
    *,
    read: Sequence[UUID] = (),
    alphabet: frozenset[str] | None = None,
) -> None:
    """Make Immich's columns follow our table for `assets`. The texts of those in `read` were read just now.

    Inside a transaction, for eligible assets only. `alphabet` as in `write`.
    """
    if not assets:
        return
    rows = await connection.fetch(_SQL["stored"], assets)
    read_rows = [row for row in rows if row["lines"] is not None]
    if read_rows:
        await _apply_text(connection, read_rows, read, alphabet)
    await _apply_vectors(connection, assets)  # they contain the texts, too
    unread = set(assets) - {row["asset_id"] for row in read_rows}
    for row in await connection.fetch(_SQL["foreign_lines"], list(unread)) if unread else []:
        await connection.execute(_SQL["apply_search_text"], [row["asset_id"]], [immich.search_text(row["lines"])])


async def _store(connection: Connection, readings: Sequence[Reading], alphabet: frozenset[str] | None) -> None:
    if not readings:
        return
    read = {
        reading.job.asset_id: [StoredLine.of(line) for line in reading.lines]
        for reading in readings
        if reading.lines is not None
    }
    lines = await _beside_theirs(connection, read, alphabet)
    await connection.execute(
        _SQL["store"],
        [reading.job.asset_id for reading in readings],
        [reading.photo.preview_updated_at if reading.photo else None for reading in readings],
        [reading.digest for reading in readings],
        [reading.clip_model for reading in readings],
        [None if reading.vector is None else HalfVector(reading.vector).to_text() for reading in readings],
        [reading.ocr_model for reading in readings],
        [None if reading.lines is None else dump_lines(lines[reading.job.asset_id]) for reading in readings],
    )


async def _beside_theirs(
    connection: Connection, ours: dict[UUID, list[StoredLine]], alphabet: frozenset[str] | None
) -> dict[UUID, list[StoredLine]]:
    """For some photos: our lines, and Immich's lines in letters that our recogniser does not know."""
    if alphabet is None or not ours:
        return ours
    rows = await connection.fetch(_SQL["all_lines"], list(ours))
    return {
        row["asset_id"]: merge(ours[row["asset_id"]], parse_lines(row["theirs"]), parse_lines(row["stored"]), alphabet)
        for row in rows
    }


async def _apply_vectors(connection: Connection, assets: Sequence[UUID]) -> None:
    """Write our vectors and visible texts into Immich's column. Vectors that are wider than it stay with us alone."""
    width = await vector_width(connection)
    columns = []
    for row in await connection.fetch(_SQL["vectors"], assets):
        vector = received(row["clip"])
        if len(vector) > width:
            continue
        column = as_column(vector, width, row["text"])
        columns.append((row["asset_id"], Vector(column).to_text(), fingerprint(column)))
    if columns:
        ids, vectors, marks = zip(*columns, strict=True)
        await connection.execute(_SQL["apply_vectors"], ids, vectors)
        await connection.execute(_SQL["remember_vectors"], ids, marks, lexical.VERSION)


async def _apply_text(
    connection: Connection, rows: Sequence[asyncpg.Record], read: Sequence[UUID], alphabet: frozenset[str] | None
) -> None:
    """Write texts, documents, Immich's lines and its searchable text, for photos whose lines we have."""
    assets = [row["asset_id"] for row in rows]
    crops = await photos.crops(connection, assets)
    fresh = set(read)
    before = {row["asset_id"]: parse_lines(row["lines"]) for row in rows}
    now = before | await _beside_theirs(
        connection, {asset: lines for asset, lines in before.items() if asset not in fresh}, alphabet
    )
    changed: list[tuple[Any, ...]] = []
    found: list[tuple[UUID, str]] = []
    empty: list[UUID] = []
    for row in rows:
        asset = row["asset_id"]
        lines = [line.cut(crops.get(asset)) for line in now[asset]]
        shown = [line for line in lines if line.visible]
        visible = [line.text for line in shown]
        if asset in fresh or lines != before[asset] or row["tokens_version"] != tokens.VERSION or row["moved"]:
            text = visible_text(lines)
            marks = buckets.marks(row["owner"], row["taken_at"])
            document = tokens.document(visible, heights=[line.height for line in shown], marks=marks)
            changed.append(
                (asset, dump_lines(lines), text, normalise(text), document.ngrams, document.overflow, row["taken_at"])
            )
        search_text = immich.search_text(visible)
        if search_text:
            found.append((asset, search_text))
        else:
            empty.append(asset)
    if changed:
        await connection.execute(
            _SQL["set_text"], *(list(column) for column in zip(*changed, strict=True)), tokens.VERSION
        )
    await connection.execute(_SQL["apply_lines"], assets)
    if found:
        await connection.execute(_SQL["apply_search_text"], *(list(column) for column in zip(*found, strict=True)))
    if empty:
        await connection.execute(_SQL["drop_search_text"], empty)
    await connection.execute(_SQL["mark_read"], list(fresh), True)
    await connection.execute(_SQL["mark_read"], [asset for asset in assets if asset not in fresh], False)
