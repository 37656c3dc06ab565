"""Holds CLIP while Immich's vector column is too narrow for its vectors. Text is read and found meanwhile."""

import asyncio

from indexer.database import schema
from indexer.database.backoff import Backoff
from indexer.database.pool import Pool
from indexer.database.trouble import TROUBLE
from indexer.errors import ColumnWidthError, IndexerError
from indexer.models.engines.hosted import Hosted, dimensions_of
from indexer.models.inference import ClipModel
from indexer.photos.width import width_advice


def fit(model: ClipModel, width: int) -> None:
    """Hold the engine of `model` if a column of `width` has no room for its vectors, otherwise let it work.

    Raises:
        ColumnWidthError: there is no room, and the model has no engine.
    """
    dimensions = dimensions_of(model) or 0  # not known yet: it is asked again soon
    error = ColumnWidthError(width, dimensions, width_advice(dimensions)) if width < dimensions else None
    engine = getattr(model, "engine", None) if isinstance(model, Hosted) else None
    if engine is not None:
        engine.hold(str(error or ""))
    elif error is not None:
        raise error


async def watch(pool: Pool, model: ClipModel, pause: float) -> None:
    """Look every `pause` seconds, without end: a person may choose another model in Immich at any time."""
    backoff = Backoff(pause)
    while True:
        trouble: Exception | None = None
        try:
            fit(model, await pool.run(schema.vector_width))
        except ColumnWidthError:
            raise
        except (*TROUBLE, IndexerError) as error:
            trouble = error
        await asyncio.sleep(backoff.after(trouble))
