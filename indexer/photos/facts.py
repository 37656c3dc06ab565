"""What Immich knows of a photo besides its picture: read from Immich's tables, written into the photo's document.

Some of it is also in Immich's vector column (the SQL term `public_facts`), which therefore follows here, too.

Facts need no model: a photo has them before it is read, and where it cannot be read.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from indexer.database.pool import Connection, Pool
from indexer.database.statements import queries
from indexer.photos import places, rows, sets
from indexer.photos.columns import with_vector
from indexer.photos.rows import Row
from indexer.queue import tags
from indexer.text import buckets, fields
from indexer.text.fields import FIELDS, PLACE, Field, Lexemes

_SQL = queries("facts")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Facts:
    """The facts of one photo. `values` has those of each field of words, as Immich has them."""

    owner: UUID
    taken_at: datetime
    day: date | None
    kind: str
    values: Mapping[Field, Sequence[str]]

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Facts":
        """From an object of the SQL function `facts`."""
        given = {field: stored[field.name] for field in FIELDS}
        values = {field: [value] if isinstance(value, str) else value for field, value in given.items()}
        return cls(
            owner=UUID(stored["owner"]),
            taken_at=_EPOCH + timedelta(microseconds=stored["taken"]),
            day=_day(stored["date"]),
            kind=stored["type"],
            values=values,
        )

    @property
    def public(self) -> "Facts":
        """Without those that only the owner may search for."""
        return replace(self, values={field: values for field, values in self.values.items() if field.public})

    @property
    def exact(self) -> list[str]:
        """The lexemes of its date and type."""
        return fields.exact(self.day, self.kind)

    @property
    def lexemes(self) -> Lexemes:
        """What is written into the photo's document."""
        made = fields.lexemes(self.values, self.day, self.kind)
        marks = " ".join(f"'{mark}'" for mark in buckets.marks(self.owner, self.taken_at))
        return Lexemes(f"{made.literal} {marks}", made.long)


async def read(connection: Connection | Pool, assets: Sequence[UUID]) -> dict[UUID, Facts]:
    """The present facts of the eligible of `assets`."""
    rows = await connection.fetch(_SQL["facts"], assets)
    return {row["asset_id"]: Facts.of(json.loads(row["facts"])) for row in rows}


async def refresh(connection: Connection, assets: Sequence[UUID]) -> int:
    """Bring the documents of `assets`, and Immich's vectors, in line with Immich's tables. Inside a transaction.

    Returns how many were changed.
    """
    await connection.execute(_SQL["begin"])
    await rows.lock(connection, assets)  # before the facts are read
    known = {row["asset_id"]: row for row in await connection.fetch(_SQL["known"], assets)}
    changed: list[Row] = []
    written: set[str] = set()
    for row in await connection.fetch(_SQL["facts"], list(known)):
        asset, digest = row["asset_id"], row["hash"]
        if (known[asset]["facts_hash"], known[asset]["facts_version"]) == (digest, fields.VERSION):
            continue
        facts = Facts.of(json.loads(row["facts"]))
        lexemes = facts.lexemes
        written.update(facts.values[PLACE])
        changed.append(
            Row(
                asset,
                facts=lexemes.literal,
                long_facts=None if lexemes.long is None else json.dumps(lexemes.long),
                facts_hash=digest,
                facts_version=fields.VERSION,
                taken_at=facts.taken_at,
            )
        )
    made = await _with_vectors(connection, changed)
    await rows.write(connection, made)
    if beside := [row.asset_id for row in made if row.embedding is not None and row.vector_hash is None]:
        await sets.mark(connection, beside)
    await places.learn(connection, written)
    return len(changed)


async def _with_vectors(connection: Connection, changed: Sequence[Row]) -> Sequence[Row]:
    """The same rows, with the vectors for Immich's column that are others now."""
    stored = await rows.stored(connection, [row.asset_id for row in changed]) if changed else []
    stored = [row for row in stored if row["current"] is not None]
    if not stored:
        return changed
    await connection.execute(_SQL["hold_column"])
    width = await connection.fetchval(_SQL["width"])
    if width is None:  # Immich is changing it, and has deleted all vectors. The reconciler writes them again
        return changed
    return await asyncio.to_thread(_altered, changed, stored, width)


def _altered(changed: Sequence[Row], stored: Sequence[asyncpg.Record], width: int) -> list[Row]:
    known = {row["asset_id"]: row for row in stored}
    made = [with_vector(row, known[row.asset_id], width) if row.asset_id in known else row for row in changed]
    return [row if row.vector_version is not None else row._replace(embedding=None) for row in made]


async def follow(connection: Connection, limit: int) -> int:
    """Take up to `limit` of the changes that triggers noted, and refresh the photos. Inside a transaction.

    A tag may also ask to read a photo again. Returns how many changes were taken.
    """
    taken = await connection.fetch(_SQL["take"], limit)
    photos = list({row["id"] for row in taken if row["kind"] == "photo"})
    sources = [row for row in taken if row["kind"] != "photo"]
    if sources:
        await connection.execute(_SQL["spread"], [row["kind"] for row in sources], [row["id"] for row in sources])
    if photos:
        await refresh(connection, photos)
        await tags.look(connection, photos)
    return len(taken)


async def drop(connection: Connection) -> list[UUID]:
    """Take the most urgent change and forget it. Returns the photo, person, tag or album."""
    return [row["id"] for row in await connection.fetch(_SQL["take"], 1)]


async def stale(pool: Pool, after: UUID, count: int, *, thorough: bool) -> tuple[UUID | None, list[UUID]]:
    """Of the `count` photos after `after`: the last one, and those without the right facts.

    `thorough`: facts are compared. Otherwise only photos without facts, or with those of another version, are found.
    """
    row = await pool.fetchrow(_SQL["stale"], after, count, fields.VERSION, thorough)
    return (None, []) if row is None else (row["last"], row["assets"])


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:  # before the year 1 or after 9999: a camera's mistake
        return None
