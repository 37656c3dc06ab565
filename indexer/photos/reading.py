"""What was read of one photo, and what is left to read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from indexer.models.results import Line
from indexer.photos import sets
from indexer.photos.photo import Photo
from indexer.queue.jobs import Job
from indexer.queue.tasks import parts

_PARTS = {"clip": "no vector was made", "ocr": "the text was not read", "next": "no vector of the next model was made"}


@dataclass(frozen=True)
class Reading:
    """What was read of one photo. A part that was not read again is None, and its stored result stays.

    `digest` None: the preview was not opened, only derived columns are updated. `vector` has the model's dimensions,
    float32, L2-normalised; `next_vector` is that of the next model, during a change. `failed`: why a wanted part (clip,
    ocr, next) could not be read. `waiting`: why a part could not be read yet, for a reason not caused by the photo. It
    is tried again after `pause` seconds.
    """

    job: Job
    photo: Photo | None
    digest: bytes | None = None
    clip_model: str | None = None
    vector: npt.NDArray[np.float32] | None = None
    ocr_model: str | None = None
    lines: Sequence[Line] | None = None
    next_model: str | None = None
    next_vector: npt.NDArray[np.float32] | None = None
    failed: Mapping[str, str] = field(default_factory=dict)
    waiting: Mapping[str, str] = field(default_factory=dict)
    pause: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether everything that was wanted was read."""
        return not self.failed and not self.waiting

    @property
    def has_results(self) -> bool:
        """Whether any part was read."""
        return any(result is not None for result in (self.vector, self.lines, self.next_vector))

    @property
    def beside(self) -> sets.Vector | None:
        """The vector of the next model, if there is one."""
        if self.next_vector is None or self.next_model is None or self.digest is None:
            return None
        return sets.Vector(self.job.asset_id, self.next_model, self.digest, self.next_vector)

    def by(self, model: str | None) -> npt.NDArray[np.float32] | None:
        """The vector that was made by the model of that name (None: by the only one), if one was."""
        if self.digest is None:
            return None
        if model is None or self.clip_model == model:
            return self.vector
        return self.next_vector if self.next_model == model else None

    @property
    def reason(self) -> str:
        """Why a part could not be read. Empty if all were. What it waits for has precedence over why it failed."""
        return "; ".join(f"{_PARTS[part]}: {why}" for part, why in (self.waiting or self.failed).items())

    @property
    def done(self) -> frozenset[str]:
        """The tasks that are complete."""
        unread = self.failed.keys() | self.waiting.keys()
        return frozenset(task for task in self.job.tasks if not parts([task]) & unread)

    @property
    def left(self) -> frozenset[str]:
        """Parts that nobody asked for and that could not be read, though the preview is new."""
        unread = self.failed.keys() | self.waiting.keys()
        return frozenset(unread - parts(self.job.tasks))
