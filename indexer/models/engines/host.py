"""Runs a model in a process of its own. Killing the process also ends whatever went wrong in it.

A CUDA error lasts as long as its process, a call that hangs cannot be interrupted, and a crash ends everything in the
same process. So the model is called through sockets. Each possible concurrent call has one socket, a lane, and a thread
of the child serves it. Pixels are copied only once, from one process to the other.
"""

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import structlog

from indexer import limits, threads
from indexer.errors import IndexerError
from indexer.models.engines import child_output, wire
from indexer.models.engines.messages import CallError, Facts, Setup

log = structlog.get_logger()

_CHILD = "indexer.models.engines.child"
_TURNS = 10  # waiting is divided into so many parts: a machine that slept or was paused loses only one of them
_REAP = 5.0  # seconds within which a killed process ends, unless its driver blocks it


class GoneError(Exception):
    """The child has ended, or does not answer.

    Attributes:
        killed: by another program, as the kernel does where memory is short.
        replaced: by `Host.close`.
    """

    def __init__(self, text: str, *, killed: bool = False, replaced: bool = False) -> None:
        super().__init__(text)
        self.killed = killed
        self.replaced = replaced


class Host:
    """One child process and the model in it. The constructor blocks until the model is loaded.

    `call` may be called from any thread.

    Args:
        setup: what the child loads.
        lanes: the most concurrent calls. More calls wait.
        patience: seconds that loading may take.
        name: what the log calls it.

    Raises:
        IndexerError: an error of the model's own, such as WeightsError.
        CallError: the model cannot be loaded.
        GoneError: the child ended while it loaded the model, or took too long.
    """

    def __init__(self, setup: Setup, *, lanes: int, patience: float, name: str = "a model") -> None:
        self._replaced = False
        self._on_end: Callable[[str], None] | None = None
        pairs = [
            socket.socketpair() for _ in range(lanes + 1)
        ]  # nothing is sent over the first: it closes when the parent ends
        theirs = [their.fileno() for _, their in pairs]
        shared = [wire.share() for _ in range(lanes)]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-P", "-m", _CHILD, str(os.getpid()), *_arguments(theirs, shared)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[*theirs, *filter(None, shared)],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        except BaseException:
            for ours, _ in pairs:
                ours.close()
            for file in filter(None, shared):
                os.close(file)
            raise
        finally:
            for _, their in pairs:
                their.close()
        self._life, *self._lanes = [ours for ours, _ in pairs]
        self._shared = dict(zip(self._lanes, shared, strict=True))
        self._lock = threading.Lock()
        self._ended = False
        self._idle: queue.SimpleQueue[socket.socket | None] = queue.SimpleQueue()  # None: the child has ended
        for lane in self._lanes[1:]:
            self._idle.put(lane)
        try:
            self._log(name)
            self.facts: Facts = self._exchange(self._lanes[0], setup, patience)
            threads.start(self._wait)
        except BaseException:
            self.close()
            raise
        finally:
            self._free(self._lanes[0])

    @property
    def peak(self) -> int | None:
        """The most memory that the child has had, in bytes. None where the kernel does not tell."""
        return limits.peak(self._process.pid)

    def call(self, method: str, argument: object, patience: float) -> Any:
        """The result of the model's `method` for `argument`.

        Raises:
            CallError: the method raised an exception.
            MemoryError: this process has none for the argument, or for the answer.
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
        """Call `tell`, from a thread, with the reason when the child ends by itself."""
        self._on_end = tell
        if self._process.poll() is not None:  # it may have ended before
            self._tell_end()

    def close(self) -> None:
        """End the child, and every call in progress. It may be called again, and from any thread."""
        self._replaced |= self._process.poll() is None
        self._process.kill()
        with self._lock:
            self._ended = True
            for lane in self._lanes:
                with suppress(OSError):
                    lane.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits on it, which then closes it
            with suppress(queue.Empty):
                while (idle := self._idle.get_nowait()) is not None:
                    self._close(idle)
            self._idle.put(None)
            self._life.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAP)

    def _log(self, name: str) -> None:
        stream = self._process.stdout
        assert stream is not None  # noqa: S101 - it is a pipe
        try:
            threads.start(partial(child_output.receive, stream, name))
        except BaseException:
            stream.close()
            raise

    def _free(self, lane: socket.socket) -> None:
        with self._lock:
            if self._ended:
                self._close(lane)
            else:
                self._idle.put(lane)

    def _close(self, lane: socket.socket) -> None:
        """Close a lane that no call uses: another file may have its descriptors next."""
        lane.close()
        if (shared := self._shared[lane]) is not None:
            os.close(shared)

    def _wait(self) -> None:
        self._process.wait()
        self._tell_end()

    def _tell_end(self) -> None:
        if not self._replaced and self._on_end is not None:
            self._on_end(str(self._why_gone()))

    def _exchange(self, lane: socket.socket, message: object, patience: float) -> Any:
        lane.settimeout(patience)
        try:
            wire.send(lane, message, self._shared[lane])
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


def _arguments(sockets: Sequence[int], files: Sequence[int | None]) -> list[str]:
    """The file descriptors as `indexer.models.engines.child` takes them."""
    life, *lanes = map(str, sockets)
    return [life, *(lane if file is None else f"{lane}:{file}" for lane, file in zip(lanes, files, strict=True))]
