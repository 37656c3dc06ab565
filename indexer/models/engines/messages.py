"""What a model's process and its parent tell each other, beside the model's own calls.

Both import this, so it is small: nothing that only one of them needs.
"""

import pickle
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from indexer.errors import IndexerError
from indexer.models.pixels import Preparation


@dataclass(frozen=True)
class Opened:
    """A model that was loaded in the child process.

    Attributes:
        model: whose methods are called.
        device: `cpu`, `cuda` or `openvino:GPU`, where it really runs.
        note: why it does not run on the wanted device. Empty where it does.
    """

    model: Any
    device: str
    note: str = ""


@dataclass(frozen=True)
class Facts:
    """What the parent process knows of a loaded model. None for what such a model does not have."""

    name: str
    device: str
    note: str = ""
    dimensions: int | None = None
    preparation: Preparation | None = None
    by_language: bool = False
    alphabet: frozenset[str] | None = None


@dataclass(frozen=True)
class Setup:
    """The first message to a child: how to open its model, on which device, and how much to lower its priority."""

    open: Callable[[str], Opened]
    device: str
    nice: int = 0


class CallError(Exception):
    """A call raised an exception. The text is that of the exception in the child, `trace` its traceback.

    Attributes:
        lacks_memory: the processor's or the GPU's memory was not enough.
    """

    def __init__(self, text: str, trace: str = "", *, lacks_memory: bool = False) -> None:
        super().__init__(text)
        self.trace = trace
        self.lacks_memory = lacks_memory

    def __str__(self) -> str:
        return str(self.args[0])


def as_answer(error: Exception) -> IndexerError | CallError:
    """An error in the form in which the child sends it."""
    if isinstance(error, IndexerError):
        with suppress(Exception):
            copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
            if isinstance(copy, IndexerError) and str(copy) == str(error):
                return error
    trace = "".join(traceback.format_exception(error))
    return CallError(f"{type(error).__name__}: {error}", trace, lacks_memory=lacks_memory(error))


_NO_MEMORY = (
    "out of memory",
    "failed to allocate memory",
    "bad_alloc",
    "cannot allocate memory",
    "can't allocate mem",
    "bytes of memory",  # OpenVINO: failed to allocate 25165824 bytes of memory
    "can't start new thread",
)


def lacks_memory(error: BaseException) -> bool:
    """Whether an error means too little memory, of the processor or of a GPU, whichever library raised it."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _NO_MEMORY)
