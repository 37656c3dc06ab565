"""Finds photos by what they show: those whose CLIP vectors are nearest to the vector of a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import numpy as np
import numpy.typing as npt
from pgvector import Vector

from indexer.database.pool import Pool
from indexer.database.schema import vector_width
from indexer.database.statements import queries
from indexer.errors import ColumnWidthError, SchemaError
from indexer.photos.vectors import as_column
from indexer.photos.width import width_advice
from indexer.search.viewer import Viewer
from indexer.search.words import Scope

_SQL = queries("meaning")


@dataclass(frozen=True)
class Near:
    """A photo and its similarity: the cosine to the query's vector, -1 to 1."""

    asset_id: UUID
    similarity: float


async def nearest(
    pool: Pool,
    vector: npt.NDArray[np.float32],
    viewer: Viewer,
    scope: Scope,
    *,
    limit: int,
    among: Sequence[UUID] | None = None,
) -> list[Near]:
    """The photos nearest to `vector` (the model's dimensions, L2-normalised), at most `limit`, nearest first.

    Only those of `among`, unless it is None.

    Where Immich's column is wider than the model, the other dimensions do not count.

    Raises:
        ColumnWidthError: Immich's column is narrower than the vector.
        SchemaError: Immich is changing its column.
    """
    if scope.owners == () or (among is not None and not among):
        return []
    async with pool.acquire() as connection:
        width = await vector_width(connection)
        if width < len(vector):
            raise ColumnWidthError(width, len(vector), width_advice(len(vector)))
        asked = Vector(as_column(vector, width)).to_text()
        try:
            async with connection.transaction(readonly=True):
                await connection.execute(_SQL["prepare"], limit)
                rows = await connection.fetch(
                    _SQL["nearest"],
                    asked,
                    scope.owners,
                    scope.after,
                    scope.before,
                    scope.archived,
                    viewer.user,
                    limit,
                    among,
                )
        except asyncpg.DataError as error:
            raise SchemaError(f"Immich is changing the width of its vectors, try again: {error}") from error
    return [Near(row["asset_id"], row["similarity"]) for row in rows]
