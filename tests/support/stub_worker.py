"""`python -m tests.support.stub_worker`: an indexer with quick models in a process of its own, to be killed.

Besides the indexer's own settings it reads:
    STUB_DELAY    seconds that each call of the CLIP model takes
    STUB_KILLER   number of the picture that kills the process
    STUB_HANG     number of the picture that the CLIP model never finishes
    STUB_MODELS   whether each value of CLIP_MODEL is another model (`stubs.named`), as it is in earnest
    STUB_JOURNAL  a file that gets a line for each picture given to the CLIP model: what the stub OCR would read in it
"""

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from indexer import logs
from indexer.settings import Settings
from indexer.work.worker import Models, leave, serve
from tests.support import stubs


class Clip(stubs.StubClip):
    """Does to some pictures what the environment says."""

    def __init__(self, setting: str) -> None:
        name, kind = stubs.named(setting) if os.environ.get("STUB_MODELS") else ("stub clip", 0)
        super().__init__(name, kind=kind)
        self._delay = float(os.environ.get("STUB_DELAY", "0"))
        self._killer = _text("STUB_KILLER")
        self._hang = _text("STUB_HANG")
        self._journal = os.environ.get("STUB_JOURNAL")

    def encode_images(self, prepared: Sequence[np.ndarray]) -> np.ndarray:
        texts = [stubs.text_of(rgb) for rgb in prepared]
        if self._journal:
            with Path(self._journal).open("a", encoding="utf-8") as journal:
                journal.write("".join(f"{text}\n" for text in texts))
        if self._killer in texts:
            stubs.kill_myself()
        if self._hang in texts:
            time.sleep(3600)
        time.sleep(self._delay)
        return super().encode_images(prepared)


def _text(name: str) -> str | None:
    number = os.environ.get(name)
    return stubs.expected_text(int(number)) if number else None


if __name__ == "__main__":
    settings = Settings.load()
    logs.configure(settings.log_level, settings.log_format)
    asyncio.run(serve(settings, Models(Clip(settings.clip_model), stubs.StubOcr(), "cpu"), open_clip=Clip))
    leave(0)
