"""The figures of `status` as JSON: what `GET /api/status` answers and `immich-indexer status --json` prints."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from indexer.views.shapes import Moment, Shape


class Reason(Shape):
    """Why a photo could not be read."""

    error: str
    failed_at: Moment
    attempts: int
    given_up: Annotated[bool, Field(description="Nothing is tried again unless somebody asks for it.")]


class FailedPhoto(Reason):
    """A photo that could not be read."""

    asset_id: UUID
    file_name: Annotated[str | None, Field(description="null: a locked photo's, of somebody else.")]
    own: Annotated[bool, Field(description="Whether it belongs to whoever asks.")]


class WaitingFor(Shape):
    """Photos that wait for something not caused by the photo, such as a model that fails or a full disk."""

    reason: str
    photos: int
    since: Moment


class WeightsFigures(Shape):
    """Weights of a model that an indexer does not have yet. It downloads them by itself, and works on without them."""

    use: Annotated[Literal["clip", "faces"], Field(description="`clip`: for the search by meaning.")]
    model: str
    arrived: Annotated[int, Field(description="Bytes that are there.")]
    size: Annotated[int, Field(description="Bytes of all; 0: a model of one's own, which a person puts there.")]
    host: Annotated[str, Field(description="Who delivers now; empty: nobody does.")]
    reason: Annotated[str, Field(description="What is missing, and why it cannot be downloaded now, in a sentence.")]
    next_try: Annotated[Moment | None, Field(description="When all hosts are asked again.")]


def duration(seconds: float) -> str:
    """A span of time, for people."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


class ModelFigures(Shape):
    """How many photos were read by these two models."""

    clip_model: str | None
    ocr_model: str | None
    photos: int


class VectorFigures(Shape):
    """Immich's vector column."""

    width: int
    dimensions: Annotated[int | None, Field(description="Of the model's vectors; null: none was made yet.")]
    advice: Annotated[str | None, Field(description="What to do about the width; null: it is right.")]


class WorkerFigures(Shape):
    """An indexer."""

    name: str
    version: str
    device: str
    photos: int
    photos_per_minute: float
    polling: Annotated[bool, Field(description="It hears no notifications of the database, and looks now and then.")]
    seen_seconds: Annotated[float, Field(description="Seconds since it was last seen.")]


class EngineFigures(Shape):
    """A model of a running indexer that is not ready."""

    engine: Annotated[str, Field(description="What it makes: clip, ocr.")]
    worker: Annotated[str, Field(description="The indexer's name.")]
    state: Annotated[str, Field(description="`loading`, `sick`, `held` or `waiting for weights`.")]
    since: Moment
    reason: str
    next_try: Annotated[Moment | None, Field(description="When a sick one is replaced; null: that is not known.")]
    photos: Annotated[int, Field(description="How many photos wait for it, of everybody's.")]


class ChangeFigures(Shape):
    """A change of the CLIP model that is under way."""

    current: Annotated[str, Field(description="The model in use; `immich`: Immich's own.")]
    next: str
    photos: int
    made: Annotated[int, Field(description="Photos that have a vector of the next model.")]
    given_up: int
    eta_seconds: Annotated[int | None, Field(description="Until every photo has one; null: not known.")]


class Figures(Shape):
    """How far the indexing is."""

    scope: Annotated[Literal["own", "all"], Field(description="One's own photos, or everybody's.")]
    total: int
    indexed: int
    with_text: int
    waiting: int
    running: int
    retrying: Annotated[int, Field(description="Failed, and to be tried again.")]
    failed: Annotated[int, Field(description="Given up.")]
    oldest_seconds: Annotated[float | None, Field(description="How long the oldest has waited.")]
    photos_per_minute: float
    eta_seconds: Annotated[int | None, Field(description="Until all are read; null: nothing moves, or nothing began.")]
    models: list[ModelFigures]
    failures: Annotated[list[FailedPhoto], Field(description="The last 20.")]
    waiting_for: Annotated[list[WaitingFor], Field(description="What photos wait for, through no fault of theirs.")]
    weights: Annotated[list[WeightsFigures], Field(description="Those that are missing.")]
    demo_model: Annotated[str | None, Field(description="The demo model that made the vectors; null: another did.")]
    vector: VectorFigures
    engines: Annotated[list[EngineFigures], Field(description="Models that are not ready; empty while all is well.")]
    workers_alive: int
    workers: Annotated[list[WorkerFigures], Field(description="Empty but where the scope is `all`.")]
    change: Annotated[ChangeFigures | None, Field(description="A change of the CLIP model; null: none is under way.")]
    advice: Annotated[list[str], Field(description="What to do. Empty but where the scope is `all`.")]
    schema_version: int
