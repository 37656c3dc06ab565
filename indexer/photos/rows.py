"""The rows of photos: ours and, in Immich's tables, those that follow from them. All that writes them does it here.

Whoever writes locks our rows first, all at once and in the order of their ids (`lock`). So two never wait for each
other in a circle, and whoever writes last has read last.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from indexer.database.pool import Connection
from indexer.database.statements import queries
from indexer.photos import pinyin
from indexer.photos.lines import StoredLine, line_columns

_SQL = queries("rows")


class Row(NamedTuple):
    """What to write for one photo. None leaves a column as it is, except where a group below says otherwise.

    A row gets a new text or new facts, never both. Both may come with a new vector for Immich's column.
    """

    asset_id: UUID

    # The picture, with all models' names, where it was opened.
    opened: bool = False
    preview_updated_at: datetime | None = None
    digest: bytes | None = None
    clip_model: str | None = None
    clip: str | None = None
    ocr_model: str | None = None

    # Its text. With `ngrams`, None in `overflow` is written, too.
    lines: str | None = None
    text: str | None = None
    normal: str | None = None
    ngrams: str | None = None
    overflow: str | None = None
    tokens_version: int | None = None

    # What Immich knows of it. With `facts`, the literal of a tsvector, None in `long_facts` is written, too.
    facts: str | None = None
    long_facts: str | None = None
    facts_hash: UUID | None = None
    facts_version: int | None = None

    taken_at: datetime | None = None

    # Immich's columns. `vector_hash`, of the vector, is kept in ours. An empty `search_text`: none.
    vector_hash: UUID | None = None
    vector_version: int | None = None
    embedding: str | None = None
    search_text: str | None = None
    fresh: bool = False  # its text was read just now


async def lock(connection: Connection, assets: Sequence[UUID]) -> None:
    """Lock our rows of `assets` until the end of the transaction. Eligible photos that have none get one."""
    await connection.execute(_SQL["lock"], assets)


async def stored(connection: Connection, assets: Sequence[UUID]) -> list[asyncpg.Record]:
    """Our rows of `assets`, with what of Immich's tables goes into them, in the order of their ids."""
    return await connection.fetch(_SQL["stored"], assets)


async def their_lines(connection: Connection, assets: Sequence[UUID]) -> dict[UUID, str]:
    """Immich's lines of those of `assets` that have some, as a value of our column `lines`."""
    return {row["asset_id"]: row["lines"] for row in await connection.fetch(_SQL["their_lines"], assets)}


async def write(connection: Connection, rows: Sequence[Row], lines: Iterable[tuple[UUID, StoredLine]] = ()) -> None:
    """Write locked rows, and how new words sound. `lines`: all lines of each photo that has a `search_text`."""
    if rows:
        await connection.execute(_SQL["write"], *zip(*rows, strict=True), *line_columns(lines))
    if documents := [row.asset_id for row in rows if row.ngrams is not None or row.facts is not None]:
        await pinyin.learn(connection, documents)
