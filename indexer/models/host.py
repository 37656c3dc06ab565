"""A model in a process of its own: killed, it takes with it whatever went wrong in it.

A CUDA error stays for as long as its process lives, a hung call is interrupted by nothing, and a crash ends whoever
shares the process. So a model is asked through sockets: one a call that may be under way, a lane, which a thread of the
child serves. No pixel is copied more often than from one process to the other.
"""

import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from indexer.errors import IndexerError
from indexer.models import wire

log = structlog.get_logger()

_TURNS = 10  # waiting is cut into so many: a machine that slept, or was paused, loses one of them and not all
_REAP = 5.0  # seconds in which a killed process is gone, unless its driver holds it


@dataclass(frozen=True)
class Opened:
    """A model that was loaded in the child.

    Attributes:
        model: whose methods are called.
        device: `cpu` or `cuda`, where it really runs.
        note: why not where it was to run; empty where it does.
    """

    model: Any
    device: str
    note: str = ""


@dataclass(frozen=True)
class Facts:
    """What the parent knows of a loaded model; None where such a model has none."""

    name: str
    device: str
    note: str = ""
    dimensions: int | None = None
    resolution: int | None = None
    alphabet: frozenset[str] | None = None


@dataclass(frozen=True)
class Setup:
    """What a child is told first: how to open its model, importable there, on which device, how far to step back."""

    open: Callable[[str], Opened]
    device: str
    nice: int = 0


class CallError(Exception):
    """A call raised something. The text is that of the error in the child, `trace` where it happened.

    Attributes:
        lacks_memory: it had not the memory, be it the processor's or the GPU's.
    """

    def __init__(self, text: str, trace: str = "", *, lacks_memory: bool = False) -> None:
        super().__init__(text)
        self.trace = trace
        self.lacks_memory = lacks_memory

    def __str__(self) -> str:
        return str(self.args[0])


class GoneError(Exception):
    """The child has ended, or does not answer.

    Attributes:
        killed: by somebody else, as the kernel does where memory is short.
        replaced: by `Host.close`.
    """

    def __init__(self, text: str, *, killed: bool = False, replaced: bool = False) -> None:
        super().__init__(text)
        self.killed = killed
        self.replaced = replaced


class Host:
    """One child and the model in it. Making it blocks until the model is loaded. `call` may come from any thread.

    Args:
        setup: what the child is to load.
        lanes: calls that may be under way at once; further ones wait.
        patience: seconds that loading may take.

    Raises:
        IndexerError: of the model's own, such as WeightsError.
        CallError: the model cannot be loaded.
        GoneError: the child ended while it loaded it, or was not done in time.
    """

    def __init__(self, setup: Setup, *, lanes: int, patience: float) -> None:
        self._replaced = False
        self._on_end: Callable[[str], None] | None = None
        pairs = [socket.socketpair() for _ in range(lanes + 1)]  # the first is never used: its end is the parent's
        theirs = [their.fileno() for _, their in pairs]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-P", "-m", "indexer.models.child", str(os.getpid()), *map(str, theirs)],
                stdin=subprocess.DEVNULL,
                pass_fds=theirs,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        except BaseException:
            for ours, _ in pairs:
                ours.close()
            raise
        finally:
            for _, their in pairs:
                their.close()
        self._life, *self._lanes = [ours for ours, _ in pairs]
        self._lock = threading.Lock()
        self._ended = False
        self._idle: queue.SimpleQueue[socket.socket | None] = queue.SimpleQueue()  # None: there will be none any more
        for lane in self._lanes[1:]:
            self._idle.put(lane)
        try:
            self.facts: Facts = self._exchange(self._lanes[0], setup, patience)
            threading.Thread(target=self._wait, name="model-end", daemon=True).start()
        except BaseException:
            self.close()
            raise
        finally:
            self._free(self._lanes[0])

    def call(self, method: str, argument: object, patience: float) -> Any:
        """What the model's `method` makes of `argument`.

        Raises:
            CallError: whatever it raised.
            GoneError: the child ended, or did not answer within `patience` seconds.
        """
        lane = self._idle.get()
        if lane is None:
            self._idle.put(None)  # for the next one
            raise self._why_gone()
        try:
            return self._exchange(lane, (method, argument), patience)
        finally:
            self._free(lane)

    def when_it_ends(self, tell: Callable[[str], None]) -> None:
        """Have `tell` called, from a thread, with the reason when the child ends by itself."""
        self._on_end = tell
        if self._process.poll() is not None:  # perhaps before this
            self._tell_end()

    def close(self) -> None:
        """End the child, and every call that is under way. May be called again, and from any thread."""
        self._replaced |= self._process.poll() is None
        self._process.kill()
        with self._lock:
            self._ended = True
            for lane in self._lanes:
                with suppress(OSError):
                    lane.shutdown(socket.SHUT_RDWR)  # wakes whoever waits at it, and closes it then
            with suppress(queue.Empty):
                while (idle := self._idle.get_nowait()) is not None:
                    idle.close()
            self._idle.put(None)
            self._life.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAP)

    def _free(self, lane: socket.socket) -> None:
        with self._lock:
            if self._ended:
                lane.close()
            else:
                self._idle.put(lane)

    def _wait(self) -> None:
        self._process.wait()
        self._tell_end()

    def _tell_end(self) -> None:
        if not self._replaced and self._on_end is not None:
            self._on_end(str(self._why_gone()))

    def _exchange(self, lane: socket.socket, message: object, patience: float) -> Any:
        lane.settimeout(patience)
        try:
            wire.send(lane, message)
            answer = self._answer(lane, patience)
        except TimeoutError:
            raise GoneError(f"no answer within {patience:.3g} s") from None
        except (EOFError, OSError):
            raise self._why_gone() from None
        if isinstance(answer, IndexerError | CallError):
            raise answer
        return answer

    def _answer(self, lane: socket.socket, patience: float) -> Any:
        lane.settimeout(patience / _TURNS)
        for turn in range(_TURNS):
            try:
                lane.recv(1, socket.MSG_PEEK)
                break
            except TimeoutError:
                if turn == _TURNS - 1:
                    raise
        lane.settimeout(patience)
        return wire.receive(lane)

    def _why_gone(self) -> GoneError:
        if self._replaced:
            return GoneError("it was replaced", replaced=True)
        try:
            status = self._process.wait(_REAP)
        except subprocess.TimeoutExpired:
            return GoneError("its process says nothing any more")
        if status == -signal.SIGKILL:
            return GoneError("its process was killed, as happens where memory is short", killed=True)
        what = f"a {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        return GoneError(f"its process ended with {what}")


def as_answer(error: Exception) -> IndexerError | CallError:
    """What a child sends of an error."""
    if isinstance(error, IndexerError):
        with suppress(Exception):
            copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
            if isinstance(copy, IndexerError) and str(copy) == str(error):
                return error
    trace = "".join(traceback.format_exception(error))
    return CallError(f"{type(error).__name__}: {error}", trace, lacks_memory=lacks_memory(error))


_NO_MEMORY = ("out of memory", "failed to allocate memory", "bad_alloc", "cannot allocate memory", "can't allocate mem")


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that there is no memory, of the processor or of a GPU, whichever library raised it."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _NO_MEMORY)
