"""What Immich writes for an upload: statement by statement as it does, or many photos at a time."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

from indexer.database.pool import OwnConnection
from indexer.demo.statements import SQL, statements

LINES = [f"发票号码 {number} 合计 {number * 7}.80 元" for number in range(100001, 100011)]

_WRITES = statements(SQL / "writes.sql")
_BULK = statements(Path(__file__).with_suffix(".sql"))
_BOX = (0.1, 0.1, 0.9, 0.1, 0.9, 0.2, 0.1, 0.2)
_UNREAD = ("insert_assets", "insert_exif", "update_exif", "insert_status", "insert_files")


@dataclass(frozen=True)
class Photo:
    """One to upload. `embedding` is the text of its vector."""

    asset: UUID
    embedding: str


@dataclass(frozen=True)
class Library:
    """The database that is written to, and whose photos they are."""

    connection: OwnConnection
    owner: UUID


def photos_of(count: int) -> list[Photo]:
    """So many, with random vectors of 512 dimensions."""
    return [Photo(uuid4(), str([random.gauss(0, 1) for _ in range(512)])) for _ in range(count)]


async def upload_one_by_one(library: Library, photos: Sequence[Photo]) -> None:
    """Immich's way: every statement a transaction of its own."""
    moment = datetime.now(UTC)
    corners = [[corner] * len(LINES) for corner in _BOX]
    scores = [[0.9] * len(LINES)] * 2
    for photo in photos:
        asset, write = photo.asset, library.connection.execute
        path = f"/data/upload/{asset}.jpg"
        await write(
            _WRITES["insert_asset"],
            asset,
            library.owner,
            "IMAGE",
            path,
            "IMG.jpg",
            asset.bytes,
            moment,
            "timeline",
            None,
        )
        await write(_WRITES["insert_exif"], asset, 1_000_000)
        await write(_WRITES["update_exif"], asset, 1440, 1080, moment)
        await write(_WRITES["update_metadata"], asset, 1440, 1080, moment)
        await write(_WRITES["metadata_extracted"], asset)
        kinds = ["preview", "thumbnail"]
        paths = [f"/data/thumbs/{asset}_{kind}.jpeg" for kind in kinds]
        await write(_WRITES["upsert_files"], asset, kinds, paths, False)
        await write(_WRITES["update_thumbhash"], asset, asset.bytes)
        await write(_WRITES["upsert_embedding"], asset, photo.embedding)
        await write(_WRITES["upsert_lines"], asset, *corners, *scores, LINES, " ".join(LINES))
        await write(_WRITES["faces_recognized"], asset)
        await write(_WRITES["ocr_done"], asset)
        await write(_WRITES["duplicates_detected"], asset)


async def upload_at_once(library: Library, photos: Sequence[Photo]) -> None:
    """The other extreme: one transaction and one statement a table for all of them."""
    more: dict[str, object] = {
        "insert_assets": library.owner,
        "insert_embeddings": [photo.embedding for photo in photos],
        "insert_lines": LINES,
        "insert_search_text": " ".join(LINES),
    }
    await _write(library, [photo.asset for photo in photos], _BULK, more)


async def receive_at_once(library: Library, count: int) -> list[UUID]:
    """So many photos that are uploaded, have previews, and were not read yet."""
    assets = [uuid4() for _ in range(count)]
    await _write(library, assets, _UNREAD, {"insert_assets": library.owner})
    return assets


async def _write(library: Library, assets: Sequence[UUID], names: Iterable[str], more: dict[str, object]) -> None:
    async with library.connection.transaction():
        for name in names:
            await library.connection.execute(_BULK[name], assets, *([more[name]] if name in more else []))
