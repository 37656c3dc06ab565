"""A stand-in for Immich: the part of its schema that we use, and its writes, one by one, in the same order."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from uuid import UUID, uuid4

import asyncpg

from indexer.demo import media
from indexer.demo.accounts import Accounts
from indexer.demo.albums import Albums
from indexer.demo.machine_learning import MachineLearning
from indexer.demo.machine_learning import OcrLine as OcrLine
from indexer.demo.searches import Searches
from indexer.demo.writer import NEWEST as NEWEST
from indexer.demo.writer import VERSIONS as VERSIONS
from indexer.demo.writer import WRITES, several
from indexer.demo.writer import Version as Version

Visibility = Literal["timeline", "archive", "hidden", "locked"]
#: x, y, width and height in pixels of the unedited preview.
Crop = tuple[int, int, int, int]


class StandIn(Accounts, Albums, MachineLearning, Searches):
    """Writes what a real Immich writes, each statement in a transaction of its own unless Immich does otherwise."""

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
        """An upload, up to the moment when Immich asks its machine-learning server.

        A hidden asset, the video part of a motion photo, gets no preview.
        """
        content = preview if isinstance(preview, bytes) else await asyncio.to_thread(preview.read_bytes)
        content = await asyncio.to_thread(media.upright, content)
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
        """The first half of an upload: the asset and its metadata. There is no preview yet."""
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
        """Rewrites metadata that did not change, and the asset's tags from the metadata."""
        await self._write("refresh_exif", asset)
        await self._write("refresh_asset", asset)
        async with self._transaction() as connection:
            await connection.execute(WRITES["delete_tag_assets"], asset)
            await connection.execute(WRITES["rewrite_tag_assets"], asset)
        await self._write("metadata_extracted", asset)

    async def regenerate_thumbnails(self, asset: UUID, preview: bytes | None = None) -> None:
        """Rewrites the files in place, with other bytes if some are given.

        The database sees only one write, and it is a bug of Immich's: the searchable text becomes empty.
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

    async def describe(self, asset: UUID, description: str) -> None:
        """Writes a description. It also goes into a sidecar, from which the metadata is read again."""
        await self._write("describe", asset, description)
        await self.refresh_metadata(asset)

    async def locate(self, asset: UUID, city: str | None, state: str | None, country: str | None) -> None:
        """Moves a photo to another place on the map. Immich finds the names of the place."""
        await self._write("locate", asset, city, state, country)
        await self.refresh_metadata(asset)

    async def read_camera(self, asset: UUID, make: str, model: str, lens: str | None = None) -> None:
        """Reads from the file which camera took the photo."""
        await self._write("camera", asset, make, model, lens)

    async def change_date(self, asset: UUID, taken_at: datetime) -> None:
        """Gives a photo another date."""
        await self._write("date", asset, taken_at)
        await self.refresh_metadata(asset)

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
            paths = [row["path"] for row in await connection.fetch(WRITES["files"], asset)]
            await connection.execute(WRITES["delete_asset"], asset)
        for path in paths:
            self.media.delete(path)

    async def archive(self, asset: UUID) -> None:
        """Takes a photo out of the timeline."""
        await self._show(asset, "archive")

    async def hide(self, asset: UUID) -> None:
        """Hides an asset, as Immich does with the video of a motion photo: its search rows stay."""
        await self._show(asset, "hidden")

    async def unhide(self, asset: UUID) -> None:
        """Brings an asset back to the timeline. No machine-learning request follows."""
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
        """Tags photos of one user through Immich's API, all in one statement. Returns the tag."""
        photos = several(assets)
        tag: UUID = await self._value("upsert_tag", photos[0], value)
        await self._write("insert_tag_assets", photos, tag)
        for asset in photos:
            await self._tags_changed(asset)
        return tag

    async def untag(self, assets: UUID | Sequence[UUID], tag: UUID) -> None:
        """Removes a tag from photos through Immich's API."""
        await self._write("delete_tag_from_assets", tag, several(assets))
        for asset in several(assets):
            await self._tags_changed(asset)

    async def rename_tag(self, tag: UUID, value: str) -> None:
        """Renames a tag. From 3.3 on the metadata and the tags of all of its photos are written again."""
        await self._write("rename_tag", tag, value)
        if await self._is_at_least("3.3"):
            for asset in await self._tagged(tag):
                await self._tags_changed(asset)

    async def delete_tag(self, tag: UUID) -> None:
        """Deletes a tag. From 3.3 on the metadata and the tags of all of its photos are written again."""
        assets = await self._tagged(tag)
        await self._write("delete_tag", tag)
        if await self._is_at_least("3.3"):
            for asset in assets:
                await self._tags_changed(asset)

    async def edit(
        self, asset: UUID, crop: Crop | None = None, rotate: int | None = None, mirror: media.Mirror | None = None
    ) -> None:
        """Crops a photo, turns it clockwise, mirrors it. No ML request follows. Lines outside become invisible."""
        edits: list[tuple[str, dict[str, int | str]]] = []
        if crop is not None:
            edits.append(("crop", {**dict(zip(("x", "y", "width", "height"), crop, strict=True))}))
        if rotate is not None:
            edits.append(("rotate", {"angle": rotate}))
        if mirror is not None:
            edits.append(("mirror", {"axis": mirror}))
        async with self._transaction() as connection:
            await connection.execute(WRITES["delete_edits"], asset)
            for sequence, (action, parameters) in enumerate(edits):
                await connection.execute(WRITES["insert_edit"], asset, sequence, action, json.dumps(parameters))
        path = await self._value("preview", asset)
        content = media.edited(self.media.read(path), crop, rotate, mirror)
        await self._revise_visible_lines(asset)
        files = {"preview": content, "thumbnail": content, "fullsize": content}
        await self._write_files(asset, files, media.extension(content), edited=True)
        await self._write("update_thumbhash", asset, _thumbhash(content))
        await self._write("update_size", asset, *media.size(content))

    async def remove_edits(self, asset: UUID) -> None:
        """Removes all edits.

        Afterwards the searchable text consists only of the lines that were hidden: a bug of Immich's.
        """
        async with self._transaction() as connection:
            await connection.execute(WRITES["delete_edits"], asset)
        await self._revise_visible_lines(asset)
        for row in await self.database.fetch(WRITES["delete_edited_files"], asset):
            self.media.delete(row["path"])
        content = self.media.read(await self._value("preview", asset))
        await self._write("update_thumbhash", asset, _thumbhash(content))
        await self._write("update_size", asset, *media.size(content))

    async def _tagged(self, tag: UUID) -> list[UUID]:
        return [row["assetId"] for row in await self.database.fetch(WRITES["tagged"], tag)]

    async def _tags_changed(self, asset: UUID) -> None:
        """Immich also writes the tags into the metadata, and reads them again from there."""
        await self._write("update_exif_tags", asset)
        owner = await self._value("owner", asset)
        sidecar = f"{self.media.prefix}/upload/{owner}/{asset}.xmp"
        await self._write("upsert_files", asset, ["sidecar"], [sidecar], False)
        await self.refresh_metadata(asset)

    async def _show(self, asset: UUID, visibility: Visibility) -> None:
        await self._write("set_visibility", asset, visibility)
        await self.refresh_metadata(asset)

    async def _write_files(self, asset: UUID, files: dict[str, bytes], extension: str, *, edited: bool) -> None:
        """Writes all files to disk, then all of their rows in one statement."""
        owner = await self._value("owner", asset)
        paths = {kind: self.media.path(owner, asset, kind, extension, edited=edited) for kind in files}
        for kind, content in files.items():
            self.media.write(paths[kind], content)
        await self._write("upsert_files", asset, list(paths), list(paths.values()), edited)

    async def _revise_visible_lines(self, asset: UUID) -> None:
        """Hides the lines that a crop removes, as Immich does each time it generates thumbnails.

        Without a crop Immich changes only lines that were hidden, but replaces the whole searchable text by theirs.
        """
        parameters = await self._value("crop", asset)
        lines = await self.database.fetch(WRITES["lines"], asset)
        if parameters is None:
            shown, hidden = [line for line in lines if not line["isVisible"]], []
        else:
            size = media.size(self.media.read(await self._value("preview", asset)))
            crop = json.loads(parameters)
            shown = [line for line in lines if _share_inside(line, crop, size) >= 0.5]
            hidden = [line for line in lines if line not in shown]
        async with self._transaction() as connection:
            if shown:
                await connection.execute(WRITES["show_lines"], [line["id"] for line in shown], True)
            if hidden:
                await connection.execute(WRITES["show_lines"], [line["id"] for line in hidden], False)
            text = " ".join(line["text"].strip() for line in shown)
            await connection.execute(WRITES["rewrite_search_text"], asset, text)


def _thumbhash(picture: bytes) -> bytes:
    """About 25 bytes that depend on the picture. Their meaning does not matter here."""
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
