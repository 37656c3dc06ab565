"""A trial: some photos of the library with their vectors by the current model and by another one, to compare both.

There is at most one. No search uses its vectors.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

import asyncpg
import numpy as np
import numpy.typing as npt
from pgvector import HalfVector

from indexer.database.pool import Connection, OwnConnection, Pool
from indexer.database.statements import queries
from indexer.database.trouble import TROUBLE
from indexer.errors import IndexerError
from indexer.photos import sets
from indexer.photos.sets import Model
from indexer.photos.vectors import halved, received

Vector = npt.NDArray[np.float32]
Kind = Literal["description", "tag", "album", "person", "all"]

ENOUGH = 30
"""With fewer questions nothing is said of which model is better."""

_PAGE = 500  # photos written at once
_SQL = queries("trials")


class TrialError(IndexerError):
    """Models cannot be compared now. The text says why."""


class Sampled(NamedTuple):
    """A photo of the sample: its preview in Immich's container, the digest of the one that was read, its vector.

    The digest is a SHA-256, None where it is not known. The vector is by the current model.
    """

    asset: UUID
    path: str
    digest: bytes | None
    vector: Vector


@dataclass(frozen=True)
class Score:
    """How well both models find photos by what Immich says of them.

    Attributes:
        kind: where the words of the questions are from.
        questions: how many there were.
        current: mean R@10 of the current model, 0 to 1.
        tried: that of the tried one.
        low: of the 95 % interval of the difference `tried` - `current`.
        high: its other end.
    """

    kind: Kind
    questions: int
    current: float
    tried: float
    low: float
    high: float

    @property
    def verdict(self) -> Literal["few", "same", "better", "worse"]:
        """What can be said of the tried model. `same`: the difference may be chance. `few`: too few questions."""
        if self.questions < ENOUGH:
            return "few"
        return "better" if self.low > 0 else "worse" if self.high < 0 else "same"


@dataclass(frozen=True)
class Cost:
    """What reading takes: seconds a photo, and the most bytes that the model's process had. None: not measured."""

    seconds: float | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Figures:
    """What was measured. They are about the whole sample, and have no name or text of anybody.

    `photos`: of the sample. `left_out`: photos that could not be read, or have changed. `lacking`: photos of the
    library that a change would have to read. `dimensions`: of the tried model's vectors. `scores` end with that of all
    questions; they are empty without labels.
    """

    photos: int
    left_out: int
    lacking: int
    dimensions: int
    scores: Sequence[Score]
    current: Cost
    tried: Cost

    @property
    def seconds(self) -> float | None:
        """How long the change would take on this machine."""
        return None if self.tried.seconds is None else self.lacking * self.tried.seconds

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Figures":
        """From the object in the database."""
        costs = {name: Cost(**stored[name]) for name in ("current", "tried")}
        return cls(**{**stored, **costs, "scores": tuple(Score(**score) for score in stored["scores"])})


@dataclass(frozen=True)
class Trial:
    """A trial: the models' names, the value of CLIP_MODEL that names the tried one, and what was measured."""

    made_at: datetime
    current: str
    tried: str
    setting: str
    figures: Figures


@dataclass(frozen=True)
class Ranked:
    """A photo, and for each model its similarity to the question (cosine) and its rank, 1 for the first."""

    asset_id: UUID
    file_name: str
    current: float
    tried: float
    current_rank: int
    tried_rank: int


async def claim(connection: OwnConnection) -> bool:
    """Whether no other process tries a model now. Then none can until `release`, or the end of this connection."""
    return bool(await connection.fetchval(_SQL["claim"]))


async def release(connection: OwnConnection) -> None:
    """Let others try models again."""
    with contextlib.suppress(*TROUBLE):
        await connection.execute(_SQL["release"])


async def sample(connection: Connection, photos: int) -> tuple[Model, list[Sampled]]:
    """The model in use, and up to `photos` photos by chance that have a vector by it. Outside a transaction.

    Raises:
        TrialError: there is no such model, or no such photo.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        model = (await sets.read(connection)).current
        rows = await connection.fetch(_SQL["sample"], photos)
    if model is None:
        raise TrialError("no indexer has started yet, so there is nothing to compare with: start `immich-indexer run`")
    if not rows:
        raise TrialError(f"no photo has a vector by {model.name} yet: wait until `immich-indexer run` has read some")
    return model, [
        Sampled(row["asset_id"], row["path"], row["digest"], halved(received(row["vector"]))) for row in rows
    ]


async def store(connection: Connection, trial: Trial, vectors: Mapping[UUID, tuple[Vector, Vector]]) -> None:
    """Keep a trial instead of the one before, with each photo's vectors by the current and by the tried model."""
    figures = json.dumps(asdict(trial.figures))
    async with connection.transaction():
        await connection.execute(_SQL["forget"])
        await connection.execute(_SQL["store"], trial.made_at, trial.current, trial.tried, trial.setting, figures)
        assets = list(vectors)
        for start in range(0, len(assets), _PAGE):
            page = assets[start : start + _PAGE]
            texts = [[HalfVector(vector).to_text() for vector in vectors[asset]] for asset in page]
            current, tried = zip(*texts, strict=True)
            await connection.execute(_SQL["store_photos"], page, current, tried)


async def read(connection: Connection | Pool) -> Trial | None:
    """The trial that is kept."""
    row = await connection.fetchrow(_SQL["read"])
    if row is None:
        return None
    return Trial(**{**row, "figures": Figures.of(json.loads(row["figures"]))})


async def forget(connection: Connection | Pool) -> None:
    """Delete the trial and its vectors."""
    await connection.execute(_SQL["forget"])


async def forget_gone(connection: Connection | Pool) -> None:
    """Delete the vectors of photos that Immich has deleted."""
    await connection.execute(_SQL["forget_gone"])


async def rank(
    connection: Connection | Pool,
    trial: Trial,
    current: Vector,
    tried: Vector,
    *,
    first: int,
    user: UUID | None = None,
    owners: Sequence[UUID] | None = None,
    archived: bool = True,
) -> tuple[int, list[Ranked]]:
    """How many photos of the trial the user is shown, and those among the `first` of either model.

    Args:
        connection: to the database.
        trial: as it was read.
        current: the question's vector by the current model.
        tried: that by the tried one.
        first: how many of each.
        user: who asks; None: the administrator at the command line.
        owners: whose photos; None: everybody's.
        archived: whether the user's own archived photos are among them.

    Raises:
        TrialError: there is another trial now.
    """
    asked = [HalfVector(vector).to_text() for vector in (current, tried)]
    try:
        rows = await connection.fetch(_SQL["rank"], trial.made_at, *asked, first, user, owners, archived)
    except asyncpg.DataError as error:
        raise TrialError(f"another model has been tried meanwhile, ask again: {error}") from error
    ranked = [Ranked(**{name: row[name] for name in Ranked.__dataclass_fields__}) for row in rows]
    return (rows[0]["photos"] if rows else 0), ranked
