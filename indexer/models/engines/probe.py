"""Probes: questions with a known answer that show whether an engine works correctly.

The right answer is computed on the processor, by the very model in use, because people may use models of their own.
"""

from collections.abc import Callable
from importlib import resources
from typing import Any, Protocol

import numpy as np

from indexer import images
from indexer.errors import ModelError
from indexer.images import Picture
from indexer.models import pixels
from indexer.models.engines.answers import check_lines, check_vectors
from indexer.models.engines.messages import Facts

_ALIKE = 0.99
"""Least cosine between a GPU's vector and the processor's. Number formats differ by 0.0001, wrong results far more."""

TEXT = "Immich 照片 2026"
"""The text in the picture, and the question for the text half of CLIP."""

Ask = Callable[[str, Any], Any]
"""Calls a model's method with an argument. Returns and raises what the method does."""


class Probe(Protocol):
    """One question to one kind of model."""

    def answer(self, ask: Ask, facts: Facts) -> Any:
        """The model's answer. Raises ModelError for an impossible one."""

    def differs(self, answer: Any, right: Any) -> str:
        """How `answer` differs from the right one. Empty where it is right."""


def picture() -> Picture:
    """The picture in our package: a line of text on a coloured background."""
    data = resources.files("indexer.models.engines").joinpath("probe.png").read_bytes()
    return images.decode(data, max_pixels=1_000_000)


class ImageProbe:
    """The vector of the picture."""

    def answer(self, ask: Ask, facts: Facts) -> Any:
        """(1, dimensions) float32."""
        vectors = ask("encode_images", [pixels.prepare(picture(), facts.preparation)])
        check_vectors(vectors, 1, facts.dimensions)
        return vectors

    def differs(self, answer: Any, right: Any) -> str:
        """Compares the angle between them."""
        return _apart(answer, right)


class TextProbe:
    """The vector of a short text."""

    def answer(self, ask: Ask, facts: Facts) -> Any:
        """(1, dimensions) float32."""
        vectors = ask("encode_texts", [TEXT])
        check_vectors(vectors, 1, facts.dimensions)
        return vectors

    def differs(self, answer: Any, right: Any) -> str:
        """Compares the angle between them."""
        return _apart(answer, right)


class LinesProbe:
    """The text in the picture."""

    def answer(self, ask: Ask, facts: Facts) -> Any:
        """The text of each line."""
        (lines,) = ask("recognise", [ask("detect", picture())])
        check_lines([lines], 1)
        return [line.text for line in lines]

    def differs(self, answer: Any, right: Any) -> str:
        """Compares all characters."""
        return "" if answer == right else f"it reads {answer} where {right} is written"


class FacesProbe:
    """What both networks of a face model make of the picture."""

    def answer(self, ask: Ask, facts: Facts) -> Any:
        """All numbers of each: (n,) and (512,) float32."""
        outputs = ask("outputs", picture())
        if not all(np.isfinite(output).all() for output in outputs):
            raise ModelError("the face model answered with something that is no number")
        return [output / (np.linalg.norm(output) or 1.0) for output in outputs]

    def differs(self, answer: Any, right: Any) -> str:
        """By the angle between what each network answers."""
        return next(filter(None, map(_apart, answer, right)), "")


def _apart(answer: Any, right: Any) -> str:
    cosine = float(np.sum(answer * right))
    return "" if cosine >= _ALIKE else f"its vector of a known input is wrong (cosine {cosine:.3f} to the right one)"
