"""What the stand-in for Immich sends to a machine-learning server, and what it writes after the answer."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from indexer.database.pool import Connection
from indexer.demo.writer import Writer, literal

_CLIP_LOCK = 512
_WIDTH = "SELECT atttypmod FROM pg_attribute WHERE attrelid = 'smart_search'::regclass AND attname = 'embedding'"


@dataclass(frozen=True)
class OcrLine:
    """One line of text as an OCR engine reports it."""

    text: str
    #: Corners as x and y in turn, 0 to 1, clockwise from the top left.
    box: tuple[float, float, float, float, float, float, float, float] = (0.1, 0.1, 0.9, 0.1, 0.9, 0.2, 0.1, 0.2)
    box_score: float = 0.9
    text_score: float = 0.95


class MachineLearning(Writer):
    """Immich's three machine-learning jobs, and what an administrator can do with them."""

    async def ml_picture(self, asset: UUID, task: Literal["clip", "ocr", "facial-recognition"]) -> bytes:
        """The file in a request for a task: the unedited preview. For faces, from 3.2 on, the edited one."""
        edited = task == "facial-recognition" and await self._is_at_least("3.2")
        path = await self._value("edited_preview", asset) if edited else None
        return self.media.read(path or await self._value("preview", asset))

    async def immich_clip_job(self, asset: UUID, vector: Sequence[float]) -> None:
        """Smart search and the duplicate detection that follows it.

        Raises:
            asyncpg.DataError: The vector is not as wide as the column.
        """
        await self._write("upsert_embedding", asset, literal(vector))
        await self._write("duplicates_detected", asset)

    async def immich_ocr_job(
        self, asset: UUID, lines: Sequence[OcrLine], tokenise: Callable[[str], Iterable[str]] = str.split
    ) -> None:
        """OCR: replaces the lines and the searchable text, which is every line's tokens joined by spaces."""
        if lines:
            corners = [list(column) for column in zip(*(line.box for line in lines), strict=True)]
            await self._write(
                "upsert_lines",
                asset,
                *corners,
                [line.box_score for line in lines],
                [line.text_score for line in lines],
                [line.text for line in lines],
                " ".join(token for line in lines for token in tokenise(line.text)),
            )
        else:
            await self._write("delete_lines", asset)
        await self._write("ocr_done", asset)

    async def immich_faces_job(self, asset: UUID) -> None:
        """Face recognition that found nobody."""
        await self._write("faces_recognized", asset)

    # What an administrator does

    async def ocr_all(self) -> None:
        """The button "OCR, all": empties both tables. The caller has to ask again for each photo."""
        async with self._transaction() as connection:
            await connection.execute("TRUNCATE asset_ocr")
            await connection.execute("TRUNCATE ocr_search")

    async def smart_search_all(self) -> None:
        """The button "Smart search, all": as a change to a model of the same width, without Immich's lock."""
        async with self._connection() as connection:
            width = await connection.fetchval(_WIDTH)
            await self._empty_embeddings(connection, width)
            await self._resize_embeddings(connection, width)

    async def change_clip_model(self, width: int) -> None:
        """Chooses a CLIP model of that many dimensions. Nothing is queued again."""
        async with self.clip_model_change(width):
            pass

    @asynccontextmanager
    async def clip_model_change(self, width: int) -> AsyncIterator[None]:
        """The same with a pause between its two transactions, when the table is empty but not yet changed."""
        async with self._connection() as connection:
            await connection.execute("SELECT pg_advisory_lock($1)", _CLIP_LOCK)
            try:
                if await connection.fetchval(_WIDTH) == width:
                    await connection.execute("TRUNCATE smart_search")
                    yield
                else:
                    await self._empty_embeddings(connection, width)
                    yield
                    await self._resize_embeddings(connection, width)
            finally:
                await connection.execute("SELECT pg_advisory_unlock($1)", _CLIP_LOCK)

    async def _empty_embeddings(self, connection: Connection, width: int) -> None:
        async with connection.transaction():
            await connection.execute("DELETE FROM smart_search")
            await connection.execute("ALTER TABLE smart_search DROP CONSTRAINT IF EXISTS dim_size_constraint")
            await connection.execute(
                "ALTER TABLE smart_search ADD CONSTRAINT dim_size_constraint"
                f" CHECK (array_length(embedding::real[], 1) = {int(width)})"
            )

    async def _resize_embeddings(self, connection: Connection, width: int) -> None:
        async with connection.transaction():
            await connection.execute("DROP INDEX IF EXISTS clip_index")
            await connection.execute(f"ALTER TABLE smart_search ALTER COLUMN embedding TYPE vector({int(width)})")
            await connection.execute(
                "CREATE INDEX IF NOT EXISTS clip_index ON smart_search USING hnsw (embedding vector_cosine_ops)"
                " WITH (ef_construction = 300, m = 16)"
            )
            await connection.execute("ALTER TABLE smart_search DROP CONSTRAINT IF EXISTS dim_size_constraint")
        await connection.execute("VACUUM (ANALYZE) smart_search")
