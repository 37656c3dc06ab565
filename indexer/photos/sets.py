"""The sets of vectors: one for each CLIP model, of which one is the current one. Its vectors are in Immich's column.

While a model is changed, each photo gets a vector of the `next` model, too. The column follows in one transaction
(`indexer.work.turn`). Before the first one Immich's own model may be the current one, if its vectors are there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt
from pgvector import HalfVector

from indexer.database.pool import Connection, Pool
from indexer.database.statements import queries
from indexer.errors import IndexerError

IMMICHS = "immich"
"""The name of the model that Immich's own machine-learning server uses."""

KEPT_DAYS = 30
"""So long the vectors of a model that is not used any more are kept, to go back to it."""

_SETTLED = 100  # photos whose rows are written at once
_ALIVE = 60.0  # seconds: an indexer that was seen within them is at work
_SQL = queries("sets")


class Vector(NamedTuple):
    """A photo's vector by a model: of its dimensions, float32, L2-normalised. `digest`: of the preview read."""

    asset: UUID
    model: str
    digest: bytes
    numbers: npt.NDArray[np.float32]


class NoSuchModelError(IndexerError):
    """There is no model to change to. The text says why."""


@dataclass(frozen=True)
class Model:
    """A model of which there are vectors.

    `setting`: the value of CLIP_MODEL that names it, None where it is not known. `held`: a person took the change to
    it back. `since`: when it got this state.
    """

    name: str
    setting: str | None
    dimensions: int | None
    state: Literal["current", "next", "previous", "idle"]
    held: bool
    since: datetime

    @property
    def is_immichs(self) -> bool:
        """Whether Immich's own machine-learning server answers for it."""
        return self.name == IMMICHS


@dataclass(frozen=True)
class Sets:
    """All models. Those of a state that no model has are None."""

    models: tuple[Model, ...] = ()

    def __getitem__(self, state: str) -> Model | None:
        return next((model for model in self.models if model.state == state), None)

    def named(self, name: str | None) -> Model | None:
        """The model of that name."""
        return next((model for model in self.models if model.name == name), None)

    @property
    def current(self) -> Model | None:
        """The model whose vectors are in Immich's column. None before the first indexer has started."""
        return self["current"]

    @property
    def next(self) -> Model | None:
        """The model that is becoming the current one."""
        return self["next"]

    @property
    def previous(self) -> Model | None:
        """The model that was current before."""
        return self["previous"]


@dataclass(frozen=True)
class Progress:
    """How far a change is: the eligible photos, and how many of them have a vector, were given up, or lack one."""

    photos: int
    made: int
    given_up: int
    missing: int

    def suffices(self, share: float) -> bool:
        """Whether the column may follow. At a share of 1: all photos but those given up have a vector."""
        return not self.missing or (share < 1 and self.made >= share * self.photos)


@dataclass(frozen=True)
class Own:
    """The model that this indexer's CLIP_MODEL names: its name, and the setting itself."""

    name: str
    setting: str
    dimensions: int | None


async def read(connection: Connection | Pool) -> Sets:
    """The models now."""
    rows = await connection.fetch(_SQL["models"])
    return Sets(tuple(Model(**dict(row)) for row in rows))


async def register(
    connection: Connection, own: Own, worker: UUID, published: Mapping[str, str], *, immich_answers: bool
) -> Sets:
    """Tell that an indexer reads with its `own` model, and return the models after that. Own connection.

    A new model becomes the next one. It becomes the current one at once where nothing can be searched with another:
    there are no vectors, or nobody could make questions for those that there are.

    Args:
        connection: outside a transaction.
        own: the model of this indexer.
        worker: its id.
        published: the settings that name models, by the models' names.
        immich_answers: whether Immich's own machine-learning server can be asked.
    """
    async with connection.transaction():
        await connection.execute(_SQL["lock"])
        await connection.execute(_SQL["tell"], worker, own.name)
        sets = await read(connection)
        current = sets.current
        if current is None:
            current = await _first(connection, own, published, immich_answers=immich_answers)
            sets = await read(connection)
        elif current.name != own.name and not await connection.fetchval(_SQL["has_vectors"], current.name):
            await connection.execute(_SQL["rest"], current.name, False)
            await connection.execute(_SQL["drop"], current.name)
            if sets.next is not None and sets.next.name != own.name:
                await connection.execute(_SQL["rest"], sets.next.name, False)
            current = await _put(connection, own, "current")
            sets = await read(connection)
        if current.name == own.name:
            await _put(connection, own, "current")  # perhaps under another setting
        elif not _is_held(sets, own) and await _is_free(connection, sets, own):
            if sets.next is not None and sets.next.name != own.name:
                await connection.execute(_SQL["rest"], sets.next.name, False)
            await _put(connection, own, "next")
        return await read(connection)


async def rest(connection: Connection, *, held: bool = False) -> Model | None:
    """End a change that nobody is working on (or, `held`, that a person takes back). Returns the model, if any."""
    async with connection.transaction():
        if (await read(connection)).next is not None:
            await connection.execute(_SQL["lock"])
        model = (await read(connection)).next
        if model is not None:
            if not held and await connection.fetchval(_SQL["is_read"], model.name, _ALIVE):
                return None
            await connection.execute(_SQL["rest"], model.name, held)
        await connection.execute(_SQL["forget_next"])
        await connection.execute(_SQL["forget_empty"])
    return model


async def progress(connection: Connection | Pool, model: str) -> Progress:
    """How many photos have a vector of `model`. It looks at every photo."""
    row = await connection.fetchrow(_SQL["progress"], model)
    assert row is not None  # noqa: S101 - it counts
    return Progress(**dict(row))


async def is_waiting(connection: Connection | Pool) -> bool:
    """Whether a photo is in the queue for its vector of the next model. It looks at the queue alone."""
    return bool(await connection.fetchval(_SQL["waiting"]))


async def is_empty(connection: Connection | Pool) -> bool:
    """Whether Immich's column has no vectors at all."""
    return bool(await connection.fetchval(_SQL["column_is_empty"]))


async def name_immichs(connection: Connection | Pool, name: str) -> None:
    """Note the name that Immich has for its own model."""
    await connection.execute(_SQL["name_immichs"], name)


async def keep(connection: Connection, photos: Mapping[UUID, str]) -> None:
    """Before vectors are written into `photos` (and by which model): put those of other models beside them."""
    for model in set(photos.values()):
        await connection.execute(_SQL["keep"], [asset for asset, name in photos.items() if name == model], model)


async def store(connection: Connection, photos: Mapping[UUID, str], beside: Sequence[Vector]) -> None:
    """After vectors were written into `photos`: write those that go `beside` a photo."""
    for model in set(photos.values()):
        await connection.execute(_SQL["replace"], [asset for asset, name in photos.items() if name == model], model)
    if beside:
        assets, models, digests, vectors = zip(*beside, strict=True)
        texts = [HalfVector(vector).to_text() for vector in vectors]
        await connection.execute(_SQL["store"], assets, models, digests, texts)


async def mark(connection: Connection, assets: Sequence[UUID]) -> None:
    """After Immich's column was written for `assets`: note the hashes of those whose vectors are beside them."""
    await connection.execute(_SQL["mark"], assets)


async def drop(connection: Connection, name: str | None = None) -> list[str]:
    """Forget the model of that name, or all but those in use; their vectors are deleted by and by. Returns which.

    Raises:
        NoSuchModelError: there is none of that name, or it is in use.
    """
    models = (await read(connection)).models
    unused = [model.name for model in models if model.state in ("previous", "idle")]
    if name is not None and name not in unused:
        raise NoSuchModelError(f"no model {name!r} can be dropped: {', '.join(unused) or 'all are in use'}")
    dropped = unused if name is None else [name]
    for each in dropped:
        await connection.execute(_SQL["drop"], each)
    return dropped


async def forget_old(connection: Connection | Pool, days: int = KEPT_DAYS, page: int = 2000) -> list[str]:
    """Forget models that were last used more than `days` days ago, and delete vectors of forgotten ones."""
    old = [row["name"] for row in await connection.fetch(_SQL["old"], days)]
    for name in old:
        await connection.execute(_SQL["drop"], name)
    while await connection.fetchval(_SQL["drop_vectors"], page) == page:
        pass
    while await connection.fetchval(_SQL["settle"], _SETTLED) == _SETTLED:  # these rows have large indexes
        pass
    return old


async def _first(connection: Connection, own: Own, published: Mapping[str, str], *, immich_answers: bool) -> Model:
    """Which model is the current one when there is none yet."""
    made = await connection.fetchval(_SQL["made"])
    if made is not None and made != own.name and made in published:
        return await _put(connection, Own(made, published[made], None), "current")
    if made is None and immich_answers and not await is_empty(connection):
        return await _put(connection, Own(IMMICHS, "", None), "current")
    return await _put(connection, own, "current")


async def _put(connection: Connection, model: Own, state: str) -> Model:
    await connection.execute(_SQL["put"], model.name, model.setting or None, model.dimensions, state)
    found = (await read(connection)).named(model.name)
    assert found is not None  # noqa: S101 - just written
    return found


def _is_held(sets: Sets, own: Own) -> bool:
    known = sets.named(own.name)
    return known is not None and known.held


async def _is_free(connection: Connection, sets: Sets, own: Own) -> bool:
    """Whether no other indexer is changing to another model."""
    following = sets.next
    return (
        following is None
        or following.name == own.name
        or not await connection.fetchval(_SQL["is_read"], following.name, _ALIVE)
    )
