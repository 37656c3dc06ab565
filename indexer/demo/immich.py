"""A stand-in for Immich: the part of its schema that we meet, and its writes, one by one, in its order."""

import asyncio
import base64
import hashlib
import json
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID, uuid4

import asyncpg

from indexer.database import Connection, Pool
from indexer.demo import media
from indexer.demo.statements import SQL, statements

Version = Literal["2.7", "3.1"]
Visibility = Literal["timeline", "archive", "hidden", "locked"]
#: x, y, width and height in pixels of the unedited preview.
Crop = tuple[int, int, int, int]

_SCHEMA = (SQL / "schema.sql").read_text(encoding="utf-8")
_SCHEMA_2_7 = (SQL / "schema_2_7.sql").read_text(encoding="utf-8")
_WRITES = statements(SQL / "writes.sql")
_SEARCHES = statements(SQL / "searches.sql")
_CLIP_LOCK = 512


@dataclass(frozen=True)
class OcrLine:
    """One line of text as an OCR engine reports it."""

    text: str
    #: Corners as x and y in turn, 0 to 1, clockwise from the top left.
    box: tuple[float, float, float, float, float, float, float, float] = (0.1, 0.1, 0.9, 0.1, 0.9, 0.2, 0.1, 0.2)
    box_score: float = 0.9
    text_score: float = 0.95


class StandIn:
    """Writes what a real Immich writes, each statement in a transaction of its own unless Immich does otherwise.

    Args:
        database: Immich's own connection or pool.
        directory: Immich's upload directory on this machine.
        prefix: The same directory inside Immich's container: what the database says.
    """

    def __init__(self, database: Connection | Pool, directory: Path, prefix: str = "/data") -> None:
        self.database = database
        self.media = media.MediaRoot(directory, prefix)

    async def install(self, version: Version = "3.1") -> None:
        """Creates Immich's schema in an empty database."""
        async with self._transaction() as connection:
            await connection.execute(_SCHEMA)
            if version == "2.7":
                await connection.execute(_SCHEMA_2_7)
            await connection.execute("INSERT INTO version_history (version) VALUES ($1)", f"{version}.0")

    # Who may what

    async def create_user(self, name: str, *, admin: bool = False) -> UUID:
        """A person with an account."""
        user: UUID = await self._value("insert_user", f"{name}@example.org", name, admin)
        return user

    async def delete_user(self, user: UUID) -> None:
        """An administrator deletes an account: its photos stay for a week, and nobody sees them."""
        await self._write("delete_user", user)

    async def create_key(self, user: UUID, *permissions: str) -> str:
        """An API key, with all permissions where none are named."""
        key = _secret()
        await self._write("insert_key", _hash(key), user, list(permissions or ("all",)))
        return key

    async def revoke_key(self, key: str) -> None:
        """Deletes an API key."""
        await self._write("delete_key", _hash(key))

    async def log_in(self, user: UUID) -> str:
        """A session: the token that a browser keeps in its cookie."""
        token = _secret()
        await self._write("insert_session", _hash(token), user)
        return token

    async def log_out(self, token: str) -> None:
        """Ends a session."""
        await self._write("delete_session", _hash(token))

    async def share(self, by: UUID, to: UUID, *, in_timeline: bool = True) -> None:
        """Makes somebody a partner, who then takes the other's photos into their timeline, or not."""
        await self._write("insert_partner", by, to)
        await self._write("update_partner", by, to, in_timeline)

    async def stop_sharing(self, by: UUID, to: UUID) -> None:
        """Ends that."""
        await self._write("delete_partner", by, to)

    # What a person does

    async def upload(
        self,
        preview: bytes | Path,
        *,
        owner: UUID,
        file_name: str = "IMG_0001.jpg",
        kind: Literal["IMAGE", "VIDEO"] = "IMAGE",
        visibility: Visibility = "timeline",
        taken_at: datetime | None = None,
    ) -> UUID:
        """Everything up to the moment when Immich asks its ML server.

        A hidden asset, the video part of a motion photo, gets no preview.
        """
        content = preview if isinstance(preview, bytes) else await asyncio.to_thread(preview.read_bytes)
        asset = await self.receive(
            media.size(content), owner=owner, file_name=file_name, kind=kind, visibility=visibility, taken_at=taken_at
        )
        if visibility != "hidden":
            await self.generate_thumbnails(asset, content)
        return asset

    async def receive(
        self,
        size: tuple[int | None, int | None] = (1440, 1080),
        *,
        owner: UUID,
        file_name: str = "IMG_0001.jpg",
        kind: Literal["IMAGE", "VIDEO"] = "IMAGE",
        visibility: Visibility = "timeline",
        taken_at: datetime | None = None,
    ) -> UUID:
        """The first half of an upload: the asset and its metadata, before there is a preview."""
        asset = uuid4()
        moment = taken_at or datetime.now(UTC)
        original = (
            f"{self.media.prefix}/upload/{owner}/{asset.hex[0:2]}/{asset.hex[2:4]}/{asset}{Path(file_name).suffix}"
        )
        checksum = hashlib.sha1(asset.bytes, usedforsecurity=False).digest()
        await self._write("insert_asset", asset, owner, kind, original, file_name, checksum, moment, visibility, None)
        await self._write("insert_exif", asset, 1_000_000)
        await self._write("update_exif", asset, *size, moment)
        await self._write("update_metadata", asset, *size, moment)
        await self._write("metadata_extracted", asset)
        return asset

    async def generate_thumbnails(self, asset: UUID, preview: bytes) -> None:
        """The second half of an upload: the files first, then their rows, then the asset's blurred hash."""
        extension = media.extension(preview)
        await self._write_files(asset, {"preview": preview, "thumbnail": preview}, extension, edited=False)
        await self._write("update_thumbhash", asset, _thumbhash(preview))

    async def refresh_metadata(self, asset: UUID) -> None:
        """Rewrites metadata that did not change, and the asset's tags from its metadata."""
        await self._write("refresh_exif", asset)
        await self._write("refresh_asset", asset)
        async with self._transaction() as connection:
            await connection.execute(_WRITES["delete_tag_assets"], asset)
            await connection.execute(_WRITES["rewrite_tag_assets"], asset)
        await self._write("metadata_extracted", asset)

    async def regenerate_thumbnails(self, asset: UUID, preview: bytes | None = None) -> None:
        """Rewrites the files in place, with other bytes where some are given.

        The database sees one write, and that one is Immich's mistake: the searchable text becomes empty.
        """
        path = await self._value("preview", asset)
        self.media.write(path, self.media.read(path) if preview is None else preview)
        await self._revise_visible_lines(asset)

    async def change_preview_format(self, asset: UUID, extension: Literal["jpeg", "webp"]) -> None:
        """Regenerates the thumbnails after a change of format in Immich's settings."""
        old = await self._value("preview", asset)
        content = media.converted(self.media.read(old), extension)
        await self._revise_visible_lines(asset)
        await self._write_files(asset, {"preview": content, "thumbnail": content}, extension, edited=False)
        if not old.endswith(extension):
            self.media.delete(old)

    async def trash(self, asset: UUID) -> None:
        """Moves a photo to the trash."""
        await self._write("trash", asset)

    async def restore(self, asset: UUID) -> None:
        """Takes a photo out of the trash."""
        await self._write("restore", asset)

    async def delete_for_good(self, asset: UUID) -> None:
        """Deletes a photo with all of its rows and files."""
        await self._write("mark_deleted", asset)
        async with self._transaction() as connection:
            paths = [row["path"] for row in await connection.fetch(_WRITES["files"], asset)]
            await connection.execute(_WRITES["delete_asset"], asset)
        for path in paths:
            self.media.delete(path)

    async def archive(self, asset: UUID) -> None:
        """Takes a photo out of the timeline."""
        await self._show(asset, "archive")

    async def hide(self, asset: UUID) -> None:
        """Hides an asset, as Immich does with the video of a motion photo: its search rows stay."""
        await self._show(asset, "hidden")

    async def unhide(self, asset: UUID) -> None:
        """Brings an asset back to the timeline from wherever it was; no ML request follows."""
        await self._show(asset, "timeline")

    async def lock(self, asset: UUID) -> None:
        """Moves a photo to the locked folder: its search rows stay."""
        await self._show(asset, "locked")

    async def favourite(self, asset: UUID, favourite: bool = True) -> None:
        """Marks a photo as a favourite."""
        await self._write("set_favourite", asset, favourite)
        await self.refresh_metadata(asset)

    async def go_offline(self, asset: UUID) -> None:
        """The file of an external library is gone."""
        await self._write("go_offline", asset)

    async def come_online(self, asset: UUID) -> None:
        """The file of an external library is back."""
        await self._write("come_online", asset)

    async def tag(self, assets: UUID | Sequence[UUID], value: str) -> UUID:
        """Tags one person's photos through Immich's API, all in one statement. Returns the tag."""
        photos = _several(assets)
        tag: UUID = await self._value("upsert_tag", photos[0], value)
        await self._write("insert_tag_assets", photos, tag)
        for asset in photos:
            await self._tags_changed(asset)
        return tag

    async def untag(self, assets: UUID | Sequence[UUID], tag: UUID) -> None:
        """Takes a tag off photos through Immich's API."""
        await self._write("delete_tag", tag, _several(assets))
        for asset in _several(assets):
            await self._tags_changed(asset)

    async def edit(
        self, asset: UUID, crop: Crop | None = None, rotate: int | None = None, mirror: media.Mirror | None = None
    ) -> None:
        """Crops a photo, turns it clockwise, mirrors it: no ML request follows, only what lies inside stays visible."""
        edits: list[tuple[str, dict[str, int | str]]] = []
        if crop is not None:
            edits.append(("crop", {**dict(zip(("x", "y", "width", "height"), crop, strict=True))}))
        if rotate is not None:
            edits.append(("rotate", {"angle": rotate}))
        if mirror is not None:
            edits.append(("mirror", {"axis": mirror}))
        async with self._transaction() as connection:
            await connection.execute(_WRITES["delete_edits"], asset)
            for sequence, (action, parameters) in enumerate(edits):
                await connection.execute(_WRITES["insert_edit"], asset, sequence, action, json.dumps(parameters))
        path = await self._value("preview", asset)
        content = media.edited(self.media.read(path), crop, rotate, mirror)
        await self._revise_visible_lines(asset)
        files = {"preview": content, "thumbnail": content, "fullsize": content}
        await self._write_files(asset, files, media.extension(content), edited=True)
        await self._write("update_thumbhash", asset, _thumbhash(content))
        await self._write("update_size", asset, *media.size(content))

    async def remove_edits(self, asset: UUID) -> None:
        """Takes every edit back.

        Only lines that were hidden make up the searchable text afterwards: Immich's mistake, not ours.
        """
        async with self._transaction() as connection:
            await connection.execute(_WRITES["delete_edits"], asset)
        await self._revise_visible_lines(asset)
        for row in await self.database.fetch(_WRITES["delete_edited_files"], asset):
            self.media.delete(row["path"])
        content = self.media.read(await self._value("preview", asset))
        await self._write("update_thumbhash", asset, _thumbhash(content))
        await self._write("update_size", asset, *media.size(content))

    # What Immich's own jobs write once the ML server has answered

    async def immich_clip_job(self, asset: UUID, vector: Sequence[float]) -> None:
        """Smart search and the duplicate detection that follows it.

        Raises:
            asyncpg.DataError: The vector is not as wide as the column.
        """
        await self._write("upsert_embedding", asset, _literal(vector))
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
        """The button "OCR, all": empties both tables; asking again for each photo is left to the caller."""
        async with self._transaction() as connection:
            await connection.execute("TRUNCATE asset_ocr")
            await connection.execute("TRUNCATE ocr_search")

    async def smart_search_all(self) -> None:
        """The button "Smart search, all": a change of model to the width there is, without Immich's lock."""
        async with self._connection() as connection:
            width = await connection.fetchval(_WIDTH)
            await self._empty_embeddings(connection, width)
            await self._resize_embeddings(connection, width)

    async def change_clip_model(self, width: int) -> None:
        """Chooses a CLIP model of that many dimensions; nothing is queued again."""
        async with self.clip_model_change(width):
            pass

    @asynccontextmanager
    async def clip_model_change(self, width: int) -> AsyncIterator[None]:
        """The same with a halt between its two transactions, when the table is empty and only half changed."""
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

    # What Immich asks

    async def smart_search(
        self,
        vector: Sequence[float],
        owners: UUID | Sequence[UUID],
        *,
        version: Version = "3.1",
        size: int = 100,
        page: int = 1,
    ) -> list[UUID]:
        """A page of photos, the nearest first, as that version of Immich finds them."""
        async with self._transaction() as connection:
            await connection.execute("SET LOCAL vchordrq.probes = 1")
            rows = await connection.fetch(
                _SEARCHES["smart_3_1" if version == "3.1" else "smart_2_7"],
                _several(owners),
                _literal(vector),
                size + 1,  # one more than shown tells Immich whether there is a next page
                (page - 1) * size,
            )
        return [row["id"] for row in rows[:size]]

    async def ocr_filter(
        self, query_tokens: Iterable[str], owners: UUID | Sequence[UUID], size: int = 250
    ) -> list[UUID]:
        """Photos whose searchable text contains the tokens well enough for Immich, the newest first."""
        rows = await self.database.fetch(_SEARCHES["ocr_filter"], _several(owners), " ".join(query_tokens), size)
        return [row["id"] for row in rows]

    async def _tags_changed(self, asset: UUID) -> None:
        """Immich writes the tags into the metadata as well, and reads them again from there."""
        await self._write("update_exif_tags", asset)
        owner = await self._value("owner", asset)
        sidecar = f"{self.media.prefix}/upload/{owner}/{asset}.xmp"
        await self._write("upsert_files", asset, ["sidecar"], [sidecar], False)
        await self.refresh_metadata(asset)

    async def _show(self, asset: UUID, visibility: Visibility) -> None:
        await self._write("set_visibility", asset, visibility)
        await self.refresh_metadata(asset)

    async def _write_files(self, asset: UUID, files: dict[str, bytes], extension: str, *, edited: bool) -> None:
        """All of them on disk, then all of their rows at once."""
        owner = await self._value("owner", asset)
        paths = {kind: self.media.path(owner, asset, kind, extension, edited=edited) for kind in files}
        for kind, content in files.items():
            self.media.write(paths[kind], content)
        await self._write("upsert_files", asset, list(paths), list(paths.values()), edited)

    async def _revise_visible_lines(self, asset: UUID) -> None:
        """Hides the lines that a crop cuts away, as Immich does each time it makes thumbnails again.

        Without a crop Immich revises only lines that were hidden, but replaces the whole searchable text by theirs.
        """
        parameters = await self._value("crop", asset)
        lines = await self.database.fetch(_WRITES["lines"], asset)
        if parameters is None:
            shown, hidden = [line for line in lines if not line["isVisible"]], []
        else:
            size = media.size(self.media.read(await self._value("preview", asset)))
            crop = json.loads(parameters)
            shown = [line for line in lines if _share_inside(line, crop, size) >= 0.5]
            hidden = [line for line in lines if line not in shown]
        async with self._transaction() as connection:
            if shown:
                await connection.execute(_WRITES["show_lines"], [line["id"] for line in shown], True)
            if hidden:
                await connection.execute(_WRITES["show_lines"], [line["id"] for line in hidden], False)
            text = " ".join(line["text"].strip() for line in shown)
            await connection.execute(_WRITES["rewrite_search_text"], asset, text)

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

    async def _write(self, name: str, *arguments: object) -> None:
        await self.database.execute(_WRITES[name], *arguments)

    async def _value(self, name: str, *arguments: object) -> Any:
        return await self.database.fetchval(_WRITES[name], *arguments)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        if isinstance(self.database, asyncpg.Pool):
            async with self.database.acquire() as connection:
                yield connection
        else:
            yield self.database

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        async with self._connection() as connection, connection.transaction():
            yield connection


_WIDTH = "SELECT atttypmod FROM pg_attribute WHERE attrelid = 'smart_search'::regclass AND attname = 'embedding'"


def _literal(vector: Sequence[float]) -> str:
    """A vector as pgvector reads it, which is also what an ML server answers."""
    return json.dumps([float(number) for number in vector])


def _several(owners: UUID | Sequence[UUID]) -> list[UUID]:
    return [owners] if isinstance(owners, UUID) else list(owners)


def _secret() -> str:
    """Immich takes 32 random bytes in base 64 and leaves out what is neither letter nor digit."""
    return re.sub(r"\W", "", base64.b64encode(secrets.token_bytes(32)).decode())


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _thumbhash(picture: bytes) -> bytes:
    """Some 25 bytes that follow the picture; what they say is nobody's business here."""
    return hashlib.sha256(picture).digest()[:25]


def _share_inside(line: asyncpg.Record, crop: dict[str, float], size: tuple[int | None, int | None]) -> float:
    """How much of a line's bounding box a crop keeps, 0 to 1."""
    width, height = (float(side or 1) for side in size)
    across = [line[f"x{corner}"] * width for corner in range(1, 5)]
    down = [line[f"y{corner}"] * height for corner in range(1, 5)]
    kept_across = min(max(across), crop["x"] + crop["width"]) - max(min(across), crop["x"])
    kept_down = min(max(down), crop["y"] + crop["height"]) - max(min(down), crop["y"])
    area = (max(across) - min(across)) * (max(down) - min(down))
    return float(max(0.0, kept_across) * max(0.0, kept_down) / area)
