"""The models, as their callers see them. Each is supervised by its `Engine`. Errors as those of `Engine.call`."""

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt

from indexer.images import Picture
from indexer.models import pixels
from indexer.models.engines.answers import check_lines, check_vectors
from indexer.models.engines.engine import Engine
from indexer.models.engines.messages import Facts
from indexer.models.results import Detection, Face, Line

Vector = npt.NDArray[np.float32]


class Named(Protocol):
    """Any model, hosted or not."""

    @property
    def name(self) -> str:
        """Its name, as stored with its results."""


class Reads(Protocol):
    """Any OCR engine, hosted or not."""

    @property
    def alphabet(self) -> frozenset[str] | None:
        """The characters that it knows. None: all."""


class HasDimensions(Protocol):
    """Any CLIP model, hosted or not."""

    @property
    def dimensions(self) -> int:
        """The width of its vectors."""


class Hosted:
    """A model and its `engine`. `expected`: what is known of the model before it is first opened, if anything."""

    def __init__(self, engine: Engine, expected: Facts | None = None) -> None:
        self.engine = engine
        self._expected = expected

    @property
    def facts(self) -> Facts:
        """Facts about the running model. Raises EngineAwayError where it was never opened."""
        facts = self.engine.facts
        if facts is None:
            raise self.engine.away()
        return facts

    @property
    def known(self) -> Facts | None:
        """Facts about the model, opened or not. None where nothing is known yet."""
        return self.engine.facts or self._expected

    @property
    def name(self) -> str:
        """The model's name, as stored with its results. Raises EngineAwayError where it is not known yet."""
        return name_of(self) or self.facts.name

    @property
    def dimensions(self) -> int:
        """The width of its vectors. Errors as `name`."""
        return dimensions_of(self) or self.facts.dimensions or 0


class HostedClip(Hosted):
    """The image half of CLIP."""

    def prepare(self, picture: Picture) -> Vector:
        """Pixels in the form that the model takes."""
        return pixels.prepare(picture, self.facts.preparation)

    def encode_images(self, prepared: Sequence[Vector]) -> Vector:
        """(n, dimensions) float32, L2-normalised."""
        vectors: Vector = self.engine.call(
            "encode_images", list(prepared), prepared, lambda made: check_vectors(made, len(prepared), self.dimensions)
        )
        return vectors


class HostedText(Hosted):
    """The text half of CLIP."""

    def encode_texts(self, texts: Sequence[str], language: str | None = None) -> Vector:
        """(n, dimensions) float32, L2-normalised. `language` of all of them: as in `TextTower.encode_texts`."""
        asked: tuple[str, object] = ("encode_texts", list(texts))
        if language is not None:
            asked = ("encode_asked", (list(texts), language))
        vectors: Vector = self.engine.call(*asked, texts, lambda made: check_vectors(made, len(texts), self.dimensions))
        return vectors


class HostedOcr(Hosted):
    """The OCR engine."""

    @property
    def alphabet(self) -> frozenset[str] | None:
        """The characters that it knows. None: all. Errors as `facts`."""
        return self.facts.alphabet

    def detect(self, picture: Picture) -> Detection:
        """Where the lines are."""
        detection: Detection = self.engine.call("detect", picture, [picture], _anything)
        return detection

    def recognise(self, detections: Sequence[Detection]) -> list[list[Line]]:
        """The text of the lines, one list for each picture."""
        lines: list[list[Line]] = self.engine.call(
            "recognise", list(detections), detections, partial(check_lines, count=len(detections))
        )
        return lines


class HostedFaces(Hosted):
    """A face model."""

    def find(self, picture: Picture, min_score: float) -> list[Face]:
        """The faces that it is at least `min_score` sure of, the surest first."""
        faces: list[Face] = self.engine.call("find", (picture, min_score), [picture], _anything)
        return faces


def name_of(model: Named | None) -> str | None:
    """The model's name. None where there is no model, or its name is not known yet."""
    if isinstance(model, Hosted):
        return model.known.name or None if model.known else None
    return None if model is None else model.name


def dimensions_of(model: HasDimensions) -> int | None:
    """The width of the model's vectors. None where it is not known yet."""
    if isinstance(model, Hosted):
        return model.known.dimensions if model.known else None
    return model.dimensions


def is_by_language(model: object) -> bool:
    """Whether the model's vector of a text depends on the text's language. False also where that is not known yet."""
    return isinstance(model, Hosted) and model.known is not None and model.known.by_language


def alphabet_of(model: Reads | None) -> frozenset[str] | None:
    """The characters that it knows. None: all, or not known yet."""
    return None if model is None or (isinstance(model, Hosted) and model.engine.facts is None) else model.alphabet


def _anything(_: object) -> None:
    """Accepts everything: errors in it are noticed when it is recognised."""
