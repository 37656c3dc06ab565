"""What Immich knows of a photo: whether it is eligible, where its preview is, how it was cropped."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from indexer.database.pool import Connection, Pool
from indexer.database.statements import queries

_SQL = queries("photos")


@dataclass(frozen=True)
class Photo:
    """One asset.

    `path` is the path inside Immich's container. The models' names say which models made our stored results. There
    may be vectors of several.
    """

    asset_id: UUID
    eligible: bool
    path: str | None
    preview_updated_at: datetime | None
    digest: bytes | None
    clip_models: Sequence[str]
    ocr_model: str | None


@dataclass(frozen=True)
class Crop:
    """The part of a picture that a crop keeps, as fractions of its width and height."""

    left: float
    top: float
    right: float
    bottom: float

    def keeps(self, corners: Sequence[float]) -> bool:
        """Whether at least half of the box around `corners` (x1, y1, .. x4, y4 in 0..1) is kept: Immich's own rule."""
        xs, ys = corners[0::2], corners[1::2]
        area = (max(xs) - min(xs)) * (max(ys) - min(ys))
        width = min(self.right, max(xs)) - max(self.left, min(xs))
        height = min(self.bottom, max(ys)) - max(self.top, min(ys))
        return area > 0 and max(width, 0) * max(height, 0) >= area / 2


async def describe(connection: Connection | Pool, assets: Sequence[UUID]) -> dict[UUID, Photo]:
    """The photos of those `assets` that exist."""
    rows = await connection.fetch(_SQL["describe"], assets)
    return {row["asset_id"]: Photo(**dict(row)) for row in rows}


async def crops(connection: Connection, assets: Sequence[UUID]) -> dict[UUID, Crop]:
    """The crops of those `assets` that are cropped."""
    found = {}
    for row in await connection.fetch(_SQL["crops"], assets):
        width, height = row["picture_width"], row["picture_height"]
        found[row["asset_id"]] = Crop(
            left=row["x"] / width,
            top=row["y"] / height,
            right=(row["x"] + row["width"]) / width,
            bottom=(row["y"] + row["height"]) / height,
        )
    return found


async def some_preview(connection: Connection | Pool) -> str | None:
    """The path, in Immich's container, of the newest photo's preview."""
    path: str | None = await connection.fetchval(_SQL["a_preview"])
    return path


async def previews(connection: Connection | Pool, count: int) -> list[str]:
    """The paths of up to `count` photos' previews, by chance."""
    return [row["path"] for row in await connection.fetch(_SQL["previews"], count)]


async def previews_with_text(connection: Connection | Pool, count: int) -> list[str]:
    """As `previews`, of photos in which text was read."""
    return [row["path"] for row in await connection.fetch(_SQL["previews_with_text"], count)]
