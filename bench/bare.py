"""Bare connections: they write rows that are there already, and know of no queue. What they reach is the limit."""

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
from pgvector import HalfVector, Vector

from bench.noop import made
from indexer.database.pool import OwnConnection
from indexer.immich import tokens as immich
from indexer.photos import lexical
from indexer.photos.lines import dump_lines, stored_lines, visible_text
from indexer.photos.vectors import as_column, fingerprint
from indexer.text import buckets, tokens

Statement = tuple[str, tuple[Any, ...]]

# Each photo has a row with its facts already.
_PHOTO = f"""UPDATE immich_indexer.photo p SET preview_updated_at = $2, digest = new.digest, clip_model = 'no clip',
        clip = new.clip::halfvec, ocr_model = 'no ocr', lines = new.lines::jsonb, text = new.text,
        document = new.document::tsvector, text_size = 500, taken_at = $2, tokens_version = {tokens.VERSION},
        vector_hash = new.hash, vector_version = {lexical.VERSION}, indexed_at = now()
    FROM unnest($1::uuid[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::text[], $8::uuid[])
        AS new (id, digest, clip, lines, text, document, hash)
    WHERE p.asset_id = new.id"""
_VECTOR = """INSERT INTO public.smart_search ("assetId", embedding)
    SELECT id, embedding::vector FROM unnest($1::uuid[], $2::text[]) AS new (id, embedding)"""
_SEARCH = 'INSERT INTO public.ocr_search ("assetId", text) SELECT * FROM unnest($1::uuid[], $2::text[])'
_STATUS = """INSERT INTO public.asset_job_status ("assetId", "ocrAt") SELECT a, now() FROM unnest($1::uuid[]) AS a
    ON CONFLICT ("assetId") DO UPDATE SET "ocrAt" = excluded."ocrAt" """
_COLUMNS = ("assetId", "text", "x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4", "boxScore", "textScore", "isVisible")


class Rows:
    """All rows of a few photos of one `owner`, for a column of `width`, ready to be sent.

    `documents`: of each, with its facts, as it is before.
    """

    def __init__(self, documents: Mapping[UUID, str], owner: UUID, width: int) -> None:
        taken = datetime.now(UTC)
        marks = buckets.marks(owner, taken)
        self._lines: list[tuple[Any, ...]] = []
        photos, search = [], []
        for asset in sorted(documents):
            reading = made(asset)
            assert reading.vector is not None
            assert reading.lines is not None
            lines = stored_lines(reading.lines)
            texts = [line.text for line in lines]
            text = visible_text(lines)
            column = as_column(reading.vector, width, text)
            document = tokens.document(texts, heights=[line.height for line in lines], marks=marks).ngrams
            photos.append(
                (
                    hashlib.sha256(asset.bytes).digest(),
                    HalfVector(reading.vector).to_text(),
                    dump_lines(lines),
                    text,
                    f"{document} {documents[asset]}",
                    fingerprint(column),
                )
            )
            search.append((Vector(column).to_text(), immich.search_text(texts)))
            self._lines += [(asset, line.text, *line.box, line.box_score, line.text_score, True) for line in lines]
        ids = sorted(documents)
        vectors, found = zip(*search, strict=True)
        self._statements: list[Statement] = [
            (_PHOTO, (ids, taken, *zip(*photos, strict=True))),
            (_SEARCH, (ids, found)),
            (_STATUS, (ids,)),
            (_VECTOR, (ids, vectors)),
        ]

    async def write(self, connection: OwnConnection) -> None:
        """Write them, inside a transaction."""
        await connection.execute("SET LOCAL immich_indexer.writing = on")
        for statement, arguments in self._statements:
            await connection.execute(statement, *arguments)
        await connection.copy_records_to_table("asset_ocr", records=self._lines, columns=_COLUMNS, schema_name="public")


async def write_all(connections: Sequence[OwnConnection], batches: Sequence[Rows]) -> None:
    """Write all of them over that many connections at once, each batch in a transaction."""
    left = iter(batches)
    await asyncio.gather(*(_write(connection, left) for connection in connections))


async def _write(connection: asyncpg.Connection, left: Iterator[Rows]) -> None:
    for rows in left:
        async with connection.transaction():
            await rows.write(connection)
