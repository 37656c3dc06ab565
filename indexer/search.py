"""Finds photos by a piece of the text in them."""

from dataclasses import dataclass
from uuid import UUID

from indexer.database import Connection, Pool, queries
from indexer.text import tokens

_SQL = queries("search")


@dataclass(frozen=True)
class Hit:
    """A photo that was found: its visible text is what matched."""

    asset_id: UUID
    file_name: str
    text: str


async def find(connection: Connection | Pool, text: str, *, limit: int = 50) -> list[Hit]:
    """Photos whose text holds every piece of `text`, best first; none for a text without letters or digits."""
    query = tokens.query(text)
    if query is None:
        return []
    return [Hit(**dict(row)) for row in await connection.fetch(_SQL["literal"], query, limit)]
