"""Immich's queries to its database when a person searches."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from indexer.demo.statements import SQL, statements
from indexer.demo.writer import Version, Writer, literal, several

_SEARCHES = statements(SQL / "searches.sql")


class Searches(Writer):
    """Searches by meaning and by text."""

    async def smart_search(
        self,
        vector: Sequence[float],
        owners: UUID | Sequence[UUID],
        *,
        version: Version | None = None,
        size: int = 100,
        page: int = 1,
        probes: int = 1,
    ) -> list[UUID]:
        """A page of photos, the nearest first, as that version of Immich finds them, by default the present one.

        `probes`: how many lists of VectorChord's index Immich searches: an eighth of them.
        """
        version = version or await self.version()
        async with self._transaction() as connection:
            await connection.execute(f"SET LOCAL vchordrq.probes = {int(probes)}")
            rows = await connection.fetch(
                _SEARCHES["smart_2_7" if version == "2.7" else "smart_3_1"],
                several(owners),
                literal(vector),
                size + 1,  # one more than shown, so that Immich knows whether there is a next page
                (page - 1) * size,
            )
        return [row["id"] for row in rows[:size]]

    async def filtered_search(
        self,
        vector: Sequence[float],
        owners: UUID | Sequence[UUID],
        *,
        ocr_tokens: Iterable[str] | None = None,
        size: int = 100,
    ) -> list[UUID]:
        """From 3.2 on: the only page of a search with a filter. Only locked photos are left out.

        `ocr_tokens`: the filter `ocr: {matches}`. Without them the filter is one that all photos pass.
        """
        tokens = None if ocr_tokens is None else " ".join(ocr_tokens)
        rows = await self.database.fetch(_SEARCHES["filtered"], several(owners), literal(vector), size, tokens)
        return [row["id"] for row in rows]

    async def ocr_filter(
        self, query_tokens: Iterable[str], owners: UUID | Sequence[UUID], size: int = 250
    ) -> list[UUID]:
        """Photos whose searchable text is similar enough to the tokens for Immich, the newest first."""
        rows = await self.database.fetch(_SEARCHES["ocr_filter"], several(owners), " ".join(query_tokens), size)
        return [row["id"] for row in rows]
