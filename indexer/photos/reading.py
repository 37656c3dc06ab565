"""What was read of one photo, and what is left to read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from indexer.models.ocr import Line
from indexer.photos.photo import Photo
from indexer.queue.jobs import Job
from indexer.queue.tasks import parts

_PARTS = {"clip": "no vector was made", "ocr": "the text was not read"}


@dataclass(frozen=True)
class Reading:
    """What was read of one photo. A part that was not read again is None, and its stored result stays.

    `digest` None: the preview was not opened, only derived columns are updated. `vector` has the model's dimensions,
    float32, L2-normalised. `failed`: why a wanted part (clip, ocr) could not be read. `waiting`: why a part could not
    be read yet, for a reason not caused by the photo. It is tried again after `pause` seconds.
    """

    job: Job
    photo: Photo | None
    digest: bytes | None = None
    clip_model: str | None = None
    vector: npt.NDArray[np.float32] | None = None
    ocr_model: str | None = None
    lines: Sequence[Line] | None = None
    failed: Mapping[str, str] = field(default_factory=dict)
    waiting: Mapping[str, str] = field(default_factory=dict)
    pause: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether everything that was wanted was read."""
        return not self.failed and not self.waiting

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
