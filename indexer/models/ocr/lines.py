"""The text of lines, read on a processor: what a package's recogniser does, but lines of one width together."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

_COUNTS = 4, 2
"""Lines of one call. Few numbers, because to plan for another takes time, and more lines at once gain nothing."""


class LineReader:
    """Reads lines in any thread.

    Args:
        recogniser: a package's `TextRecognizer`: its way to prepare a line.
        run: its network, from (n, 3, height, width) float32 to (n, steps, characters).
        text: its way to make texts and scores of that.
        step: lines are padded to multiples of so many pixels, with their last column, because to plan for a width takes
            time. Nothing else is added: a line is read alike, whatever others are read with it.
        columns: how many pixels wide all lines of one call may be. It limits memory; a single line may be wider.
    """

    def __init__(
        self,
        recogniser: Any,
        run: Callable[[Array], Any],
        text: Callable[[Any], Sequence[tuple[str, float]]],
        *,
        step: int,
        columns: int,
    ) -> None:
        self._recogniser = recogniser
        self._run = run
        self._text = text
        self._step = step
        self._columns = columns

    def __call__(self, crops: Sequence[np.ndarray]) -> list[tuple[str, float]]:
        """For each crop, (height, width, 3) uint8 in BGR order, its text and score."""
        prepared = [self._prepared(crop) for crop in crops]
        of_width: dict[int, list[int]] = defaultdict(list)
        for number, line in enumerate(prepared):
            of_width[line.shape[-1]].append(number)
        found: list[tuple[str, float]] = [("", 0.0)] * len(crops)
        for width, numbers in of_width.items():
            while numbers:
                most = min(len(numbers), self._columns // width)
                count = next((count for count in _COUNTS if count <= most), 1)
                some, numbers = numbers[:count], numbers[count:]
                texts = self._text(self._run(np.stack([prepared[number] for number in some])))
                for number, one in zip(some, texts, strict=True):
                    found[number] = one
        return found

    def _prepared(self, crop: np.ndarray) -> Array:
        """(3, height, width) float32."""
        _, height, least = self._recogniser.rec_image_shape
        ratio = max(crop.shape[1] / crop.shape[0], least / height)
        line: Array = self._recogniser.resize_norm_img(crop, ratio).astype(np.float32, copy=False)
        lacking = -line.shape[-1] % self._step
        return np.pad(line, [(0, 0), (0, 0), (0, lacking)], mode="edge") if lacking else line
