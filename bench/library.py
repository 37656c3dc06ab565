"""A library of photos that say something, written as fast as PostgreSQL takes it: straight into the tables, by COPY."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

import asyncpg
import numpy as np

from indexer.database import schema
from indexer.database.pool import OwnConnection, connect_to_immich
from indexer.demo.immich import NEWEST, StandIn, Version
from indexer.photos.lines import StoredLine, dump_lines
from indexer.photos.vectors import Vector
from indexer.text import buckets, tokens
from indexer.text.normalise import normalise


@dataclass(frozen=True)
class Photo:
    """One photo: its text, lines separated by newlines."""

    asset_id: UUID
    owner: UUID
    taken_at: datetime
    text: str


_STAGE = """CREATE TEMP TABLE stage (id uuid, owner uuid, taken_at timestamptz, text text, normal text, ngrams text,
    overflow text, lines jsonb)"""
_ASSETS = """INSERT INTO public.asset (id, "ownerId", type, "originalPath", "originalFileName", checksum,
        "checksumAlgorithm", "fileCreatedAt", "fileModifiedAt", "localDateTime")
    SELECT id, owner, 'IMAGE', '/data/' || id || '.jpg', 'IMG_' || left(id::text, 8) || '.jpg', uuid_send(id),
        'sha1', taken_at, taken_at, taken_at FROM stage"""
_PHOTOS = """INSERT INTO immich_indexer.photo (asset_id, preview_updated_at, digest, ocr_model, lines, text, document,
        overflow, tokens_version, taken_at)
    SELECT id, taken_at, uuid_send(id), 'bench', lines, text, immich_indexer.document(normal, ngrams), overflow,
        $1::smallint, taken_at FROM stage"""


async def prepare(url: str, version: Version = NEWEST) -> OwnConnection:
    """Immich's tables and ours in an empty database; the connection skips Immich's triggers and foreign keys."""
    immich = await asyncpg.connect(url)
    try:
        await StandIn(immich, Path()).install(version)
    finally:
        await immich.close()
    own = await connect_to_immich(url)
    await schema.install(own)
    await own.execute("SET session_replication_role = replica")
    await own.execute("SET idle_in_transaction_session_timeout = 0")
    await own.execute("SET lock_timeout = 0")  # a VACUUM of ours may meet the server's own
    await own.execute(_STAGE)
    return own


async def add_person(connection: OwnConnection, person: UUID) -> UUID:
    """An account, complete as Immich's own trigger makes it."""
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = origin")
        await connection.execute('INSERT INTO public."user" (id, email, name) VALUES ($1, $2, $2)', person, str(person))
    return person


def rows(photos: Iterable[Photo]) -> bytes:
    """The photos as COPY wants them."""
    return "".join(_row(photo) for photo in photos).encode()


def _row(photo: Photo) -> str:
    lines = photo.text.split("\n")
    document = tokens.document(lines, marks=buckets.marks(photo.owner, photo.taken_at))
    boxes = [StoredLine(line, (0.1, 0.1, 0.9, 0.1, 0.9, 0.13, 0.1, 0.13), 0.95, 0.97) for line in lines]
    values = (
        str(photo.asset_id),
        str(photo.owner),
        photo.taken_at.isoformat(),
        photo.text,
        normalise(photo.text),
        document.ngrams,
        document.overflow,
        dump_lines(boxes),
    )
    return "\t".join("\\N" if value is None else _escaped(value) for value in values) + "\n"


def _escaped(value: str) -> str:
    for sign, escape in (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        value = value.replace(sign, escape)
    return value


async def write(connection: OwnConnection, chunk: bytes) -> None:
    """Write photos made by `rows`."""

    async def source() -> AsyncIterator[bytes]:
        yield chunk

    await connection.copy_to_table("stage", source=source(), format="text")
    await connection.execute(_ASSETS)
    await connection.execute(_PHOTOS, tokens.VERSION)
    await connection.execute("TRUNCATE stage")


async def write_vectors(connection: OwnConnection, assets: Sequence[UUID], vectors: Vector) -> None:
    """Write `vectors` (assets, width) into Immich's column, as they are, in COPY's binary form."""
    width = vectors.shape[1]
    sent = np.dtype([("dimensions", ">u2"), ("unused", ">u2"), ("numbers", ">f4", (width,))])
    row = np.dtype([("fields", ">u2"), ("id_size", ">i4"), ("id", "V16"), ("size", ">i4"), ("vector", sent)])
    table = np.zeros(len(assets), dtype=row)
    table["fields"], table["id_size"], table["size"] = 2, 16, sent.itemsize
    table["id"] = np.array([asset.bytes for asset in assets], dtype="V16")
    table["vector"]["dimensions"], table["vector"]["numbers"] = width, vectors

    async def source() -> AsyncIterator[bytes]:
        yield b"PGCOPY\n\xff\r\n\0" + bytes(8)
        yield table.tobytes()
        yield b"\xff\xff"

    await connection.copy_to_table("smart_search", source=source(), format="binary")
