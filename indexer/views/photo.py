"""A photo as a user is shown it: what was read, where that is in the picture, and the state of its job."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import numpy as np

from indexer.database.pool import Connection, Pool
from indexer.database.statements import queries
from indexer.photos.edits import Edits, edits_of
from indexer.photos.lines import StoredLine, parse_lines
from indexer.photos.vectors import Vector, received
from indexer.queue import backlog
from indexer.queue.backlog import Failure
from indexer.search.viewer import viewer
from indexer.views import status

_SQL = queries("shown")

State = Literal["indexed", "waiting", "running", "failed", "missing"]


@dataclass(frozen=True)
class ShownLine:
    """A line of text: its corners x1, y1, .. x4, y4 in 0..1 of the picture Immich shows, clockwise from the top left.

    `score`: how sure the engine is of the text, 0 to 1.
    """

    text: str
    box: list[float]
    score: float


@dataclass(frozen=True)
class ShownResult:
    """What was read of a photo: its visible lines, and by which models. All empty where it was not read."""

    lines: list[ShownLine]
    ocr_model: str | None
    clip_model: str | None
    indexed_at: datetime | None
    vector: Vector | None


@dataclass(frozen=True)
class Shown:
    """A photo. `current`: read from its present preview, by the models in use. `own`: whether it is the viewer's."""

    asset_id: UUID
    file_name: str
    taken_at: datetime
    own: bool
    kind: str
    edits: Edits
    reading: ShownResult
    current: bool
    state: State
    failure: Failure | None


async def look(connection: Connection, user: UUID, asset: UUID) -> Shown | None:
    """What user `user` is shown of `asset` now. None where Immich would not show it: another user's, locked, trashed.

    Raises:
        asyncpg.PostgresError: for example of a missing table, where we are not installed.
    """
    async with connection.transaction(
        isolation="repeatable_read", readonly=True
    ):  # so that edits and lines belong together
        row = await connection.fetchrow(_SQL["shown"], asset, user, (await viewer(connection, user)).owners)
        if row is None:
            return None
        edits = await edits_of(connection, asset)
        state = await backlog.state(connection, asset)
        models = await status.in_use(connection)
    read = row["indexed_at"] is not None
    reading = ShownResult(
        _visible(parse_lines(row["lines"]), edits),
        row["ocr_model"],
        row["clip_model"],
        row["indexed_at"],
        None if row["vector"] is None else received(row["vector"]),
    )
    made_with = (reading.clip_model, reading.ocr_model)
    return Shown(
        asset,
        row["file_name"],
        row["taken_at"],
        row["own"],
        row["type"],
        edits,
        reading,
        read and bool(row["fresh"]) and models is not None and made_with == (models.clip, models.ocr),
        state.state if state else "indexed" if read else "missing",
        state.failure if state else None,
    )


async def is_edited(connection: Connection | Pool, user: UUID, asset: UUID) -> bool | None:
    """Whether user `user` is shown the edited picture of `asset` (True) or the unedited one (False). None: neither."""
    row = await connection.fetchrow(_SQL["picture"], asset, user, (await viewer(connection, user)).owners)
    return None if row is None else bool(row["edited"])


def differ(one: Vector | None, other: Vector | None) -> bool:
    """Whether two stored vectors differ in any number, or only one of them exists."""
    if one is None or other is None:
        return one is not other
    return not np.array_equal(one, other)


def cosine(one: Vector | None, other: Vector | None) -> float | None:
    """The cosine of two vectors, -1 to 1. None where one is missing, or their models have other widths."""
    if one is None or other is None or len(one) != len(other):
        return None
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return round(float(one @ other) / length, 6) if length else None


def _visible(lines: Sequence[StoredLine], edits: Edits) -> list[ShownLine]:
    """The visible lines. An edit that is newer than the stored lines is taken into account."""
    return [
        ShownLine(line.text, edits.place(line.box), line.text_score)
        for line in lines
        if line.visible and edits.keeps(line.box)
    ]
