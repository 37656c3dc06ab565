"""A person's edits of a picture in Immich, and where a place on the unedited picture is on the edited one."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from indexer.database.pool import Connection
from indexer.database.statements import queries
from indexer.photos import photo as photos
from indexer.photos.photo import Crop

_SQL = queries("edits")

# For each turn: which corner of the old box becomes the first, second, .. of the new. The first one stays top left.
_ORDER = {
    ("rotate", 0): (0, 1, 2, 3),
    ("rotate", 90): (3, 0, 1, 2),
    ("rotate", 180): (2, 3, 0, 1),
    ("rotate", 270): (1, 2, 3, 0),
    ("mirror", "horizontal"): (1, 0, 3, 2),
    ("mirror", "vertical"): (3, 2, 1, 0),
}

Turn = tuple[str, int | str]
"""`("rotate", degrees clockwise)` or `("mirror", "horizontal" | "vertical")`: swaps left and right, or up and down."""


@dataclass(frozen=True)
class Edits:
    """Edits as Immich applies them: the crop first, then the turns in their order.

    `drawn`: whether Immich has made the files of the edited picture. Until then it shows the unedited one.
    """

    crop: Crop | None = None
    turns: tuple[Turn, ...] = ()
    drawn: bool = False

    def keeps(self, corners: Sequence[float]) -> bool:
        """Whether a line with these corners may be shown. Not if the crop removes it, even if not yet drawn."""
        return self.crop is None or self.crop.keeps(corners)

    def place(self, corners: Sequence[float]) -> list[float]:
        """Where corners x1, y1, .. x4, y4 in 0..1, clockwise from the top left, are on the picture Immich shows."""
        if not self.drawn:
            return list(corners)
        points = list(zip(corners[0::2], corners[1::2], strict=True))
        if self.crop is not None:
            left, top = self.crop.left, self.crop.top
            width, height = self.crop.right - left, self.crop.bottom - top
            points = [(_inside((x - left) / width), _inside((y - top) / height)) for x, y in points]
        for turn in self.turns:
            moved = [_moved(turn, x, y) for x, y in points]
            points = [moved[at] for at in _ORDER[turn]]
        return [round(number, 5) for point in points for number in point]


async def edits_of(connection: Connection, asset: UUID) -> Edits:
    """The present edits of a photo."""
    row = await connection.fetchrow(_SQL["edits"], asset)
    assert row is not None  # noqa: S101 - a select without FROM always has a row
    turns = tuple(filter(None, (_turn(action, parameters) for action, parameters in json.loads(row["turns"]))))
    return Edits((await photos.crops(connection, [asset])).get(asset), turns, row["drawn"])


def _turn(action: str, parameters: dict[str, Any]) -> Turn | None:
    """The turn. None for an action of a newer Immich: we assume that it moves nothing."""
    turn: Turn = (action, parameters.get("axis", "") if action == "mirror" else int(parameters.get("angle", 0)) % 360)
    return turn if turn in _ORDER else None


def _moved(turn: Turn, x: float, y: float) -> tuple[float, float]:
    match turn:
        case ("rotate", 90):
            return 1 - y, x
        case ("rotate", 180):
            return 1 - x, 1 - y
        case ("rotate", 270):
            return y, 1 - x
        case ("mirror", "horizontal"):
            return 1 - x, y
        case ("mirror", "vertical"):
            return x, 1 - y
        case _:
            return x, y


def _inside(number: float) -> float:
    """The number, limited to 0..1: of a line that the crop cut in half, a part lies outside."""
    return min(max(number, 0.0), 1.0)
