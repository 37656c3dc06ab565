"""Keeps the weight files of a process there: looks for them, and fetches in the background what is missing.

Whoever needs a model asks `missing` before loading it, and is called after each change by `watch`. A file that somebody
puts there is found by looking; one that is not what was published is said so, and replaced.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from indexer.errors import WeightsError
from indexer.models import stock
from indexer.models.download import TakenError, download
from indexer.models.published import PublishedFile, megabytes
from indexer.models.stock import Delivery, Stock, Use, Wanted
from indexer.settings import Settings

log = structlog.get_logger()


@dataclass(frozen=True)
class Pace:
    """How patient a supply is, in seconds.

    Attributes:
        look: between two looks at the files.
        first: until it asks all sources once more; twice as long each time after that.
        longest: such a pause at most.
        copying: without growth, after which a file that is too short is not being copied there any more.
        told: between two lines of the log on how far it is.
    """

    look: float = 5
    first: float = 30
    longest: float = 3600
    copying: float = 20
    told: float = 30


class _Shelf:
    """One model's place: what is wanted, what is there, and when to try again to fetch the rest."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.stock = Stock(wanted)
        self.delivery = Delivery(wanted.use, wanted.model, size=wanted.size)
        self.pause = 0.0
        self.due = 0.0


class _StopError(WeightsError):
    """The download is not wanted any more."""


class Supply:
    """Keeps what is `wanted` there, from `run` on; all but `run` may be called from any thread.

    Making one reads the files that are there: seconds per gigabyte.

    Args:
        wanted: the first first.
        fetches: whether to fetch what is missing, or only to look for it.
        pace: how patient to be.
    """

    def __init__(self, wanted: Sequence[Wanted] = (), *, fetches: bool = True, pace: Pace | None = None) -> None:
        self._fetches = fetches
        self._pace = pace or Pace()
        self._watchers: list[Callable[[], None]] = []
        self._shelves: dict[Use, _Shelf] = {one.use: _Shelf(one) for one in wanted}
        self._changing = threading.Lock()
        self._look_at_all()

    @classmethod
    def of(cls, settings: Settings) -> "Supply":
        """As the settings say; it fetches where it may write. Raises WeightsError: a model is unknown."""
        wanted = stock.wanted_by(settings)
        folders = {file.path.parent for one in wanted for file in one.files}
        return cls(wanted, fetches=settings.weights_source != "none" and all(map(_is_writable, folders)))

    @property
    def deliveries(self) -> list[Delivery]:
        """How it stands with each model."""
        return [shelf.delivery for shelf in self._shelves.values()]

    def missing(self, use: Use) -> str:
        """What is missing of the model for that, in a sentence; empty where nothing is."""
        shelf = self._shelves.get(use)
        return shelf.delivery.missing if shelf else ""

    def watch(self, changed: Callable[[], None]) -> None:
        """Have `changed` called, from any thread, after something came, went, or could not be had."""
        self._watchers.append(changed)

    async def run(self) -> None:
        """Look and fetch, for ever."""
        while True:
            try:
                await _in_thread(self._look_at_all)
                for shelf in self._shelves.values() if self._fetches else ():
                    if shelf.delivery.missing and shelf.wanted.files and time.monotonic() >= shelf.due:
                        await self._fetch(shelf)
                        break
            except Exception:  # never a reason to stop reading photos
                log.exception("cannot look after the weights")
            await asyncio.sleep(self._pace.look)

    def _look_at_all(self) -> None:
        for shelf in self._shelves.values():
            before, missing = shelf.delivery.missing, shelf.stock.lacking()
            if missing and shelf.wanted.files:
                by = "it is fetched by itself" if self._fetches else "the indexer fetches it, or a person puts it there"
                missing = f"{missing}; {by}"
            if missing and missing != before:
                log.warning("weights missing", model=shelf.wanted.model, reason=missing)
            elif before and not missing:
                log.info("weights are there", model=shelf.wanted.model)
            ended = {} if missing else {"host": "", "trouble": "", "next_try": None}
            self._set(shelf, missing=missing, arrived=shelf.stock.all_arrived, **ended)

    def _set(self, shelf: _Shelf, **changes: object) -> None:
        with self._changing:
            before = shelf.delivery
            after = shelf.delivery = replace(before, **changes)  # type: ignore[arg-type]
        if (before.missing, before.trouble) != (after.missing, after.trouble):
            for changed in self._watchers:
                changed()

    async def _fetch(self, shelf: _Shelf) -> None:
        """Try once; beside it looks go on, and end it where somebody has put the file there."""
        before, stop = shelf.delivery.arrived, threading.Event()
        fetching = asyncio.ensure_future(_in_thread(lambda: self._fetch_all(shelf, stop)))
        try:
            while not fetching.done():
                await asyncio.wait({fetching}, timeout=self._pace.look)
                if not fetching.done():
                    await _in_thread(self._look_at_all)
                if not shelf.delivery.missing:
                    stop.set()
            fetching.result()
        except TakenError:
            shelf.due = 0.0
            self._set(shelf, host="", trouble="", next_try=None)
        except _StopError:
            pass
        except WeightsError as error:
            arrived = shelf.delivery.arrived > before
            shelf.pause = min(2 * shelf.pause if shelf.pause and not arrived else self._pace.first, self._pace.longest)
            shelf.due = time.monotonic() + shelf.pause
            at = datetime.now(UTC) + timedelta(seconds=shelf.pause)
            model, seconds = shelf.wanted.model, round(shelf.pause)
            log.warning("cannot fetch weights", model=model, reason=str(error), again_in_seconds=seconds)
            self._set(shelf, host="", trouble=str(error), next_try=at)
        else:
            shelf.pause = 0.0
            await _in_thread(self._look_at_all)
        finally:
            stop.set()

    def _fetch_all(self, shelf: _Shelf, stop: threading.Event) -> None:
        for file in shelf.wanted.files:
            if not shelf.stock.has(file):
                self._let_it_be_copied(file, stop)
                download(file, self._progress(shelf, file, stop))

    def _let_it_be_copied(self, file: PublishedFile, stop: threading.Event) -> None:
        """Until a file that somebody is copying there grows no more: it may be the right one in a moment."""
        while file.path.is_file() and file.path.stat().st_size < file.size and _age(file.path) < self._pace.copying:
            if stop.wait(self._pace.look):
                raise _StopError("somebody has put it there")

    def _progress(self, shelf: _Shelf, file: PublishedFile, stop: threading.Event) -> Callable[[str, int], None]:
        wanted = shelf.wanted
        others = shelf.stock.all_arrived - shelf.stock.arrived(file)
        due = 0.0

        def progress(host: str, done: int) -> None:
            nonlocal due
            if stop.is_set():
                raise _StopError("somebody has put it there")
            self._set(shelf, host=host, arrived=others + done)
            if time.monotonic() >= due:
                due = time.monotonic() + self._pace.told
                percent = 100 * (others + done) // wanted.size
                log.info("fetching weights", model=wanted.model, host=host, percent=percent, of=megabytes(wanted.size))

        return progress


async def _in_thread(work: Callable[[], None]) -> None:
    """`work` in a thread that nobody waits for at the end of the process: a host may be silent for long."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def end(error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        error = None
        try:
            work()
        except Exception as failed:
            error = failed
        if not loop.is_closed():
            loop.call_soon_threadsafe(end, error)

    threading.Thread(target=run, name="weights", daemon=True).start()
    await done


def _age(path: Path) -> float:
    """Seconds since it was written to, by a clock that may have been set."""
    return abs(time.time() - path.stat().st_mtime)


def _is_writable(folder: Path) -> bool:
    """Whether a file can be made in `folder`, which may itself have to be made."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK)
