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
from indexer.models import model_files
from indexer.models.download import TakenError, download
from indexer.models.model_files import DownloadState, LocalFiles, ModelFiles, Use
from indexer.models.published import PublishedFile, megabytes
from indexer.settings import Settings

log = structlog.get_logger()


@dataclass(frozen=True)
class Pace:
    """How patient a fetcher is, in seconds.

    Attributes:
        look: between two looks at the files.
        first: until it asks all sources once more; twice as long each time after that.
        longest: such a pause at most.
        copying: without growth, after which a file that is too short is not being copied there any more.
        told: between two lines of the log on how far it is.
        silence: without a byte, after which a host is given up.
    """

    look: float = 5
    first: float = 30
    longest: float = 3600
    copying: float = 20
    told: float = 30
    silence: float = 10


class _Entry:
    """One model's place: what is wanted, what is there, and when to try again to fetch the rest."""

    def __init__(self, wanted: ModelFiles) -> None:
        self.wanted = wanted
        self.local = LocalFiles(wanted)
        self.download = DownloadState(wanted.use, wanted.model, size=wanted.size)
        self.pause = 0.0
        self.due = 0.0


class _StopError(WeightsError):
    """The download is not wanted any more."""


class Fetcher:
    """Keeps what is `wanted` there, from `run` on; all but `run` may be called from any thread.

    Making one reads the files that are there: seconds per gigabyte.

    Args:
        wanted: the first first.
        fetches: whether to fetch what is missing, or only to look for it.
        bringer: who brings it where this one does not fetch, in a sentence.
        pace: how patient to be.
    """

    def __init__(
        self,
        wanted: Sequence[ModelFiles] = (),
        *,
        fetches: bool = True,
        bringer: str = "we may not write there: an indexer that may fetches it, or a person puts it there",
        pace: Pace | None = None,
    ) -> None:
        self._fetches = fetches
        self._bringer = "it is fetched by itself" if fetches else bringer
        self._pace = pace or Pace()
        self._watchers: list[Callable[[], None]] = []
        self._entries: dict[Use, _Entry] = {one.use: _Entry(one) for one in wanted}
        self._changing = threading.Lock()
        self._look_at_all()

    @classmethod
    def of(cls, settings: Settings) -> "Fetcher":
        """As the settings say; it fetches where it may write. Raises WeightsError: a model is unknown."""
        wanted = model_files.all_files(settings)
        folders = {file.path.parent for one in wanted for file in one.files}
        if settings.weights_source == "none":
            return cls(wanted, fetches=False, bringer="WEIGHTS_SOURCE=none: a person is to put it there")
        return cls(wanted, fetches=all(map(_is_writable, folders)))

    @property
    def downloads(self) -> list[DownloadState]:
        """How it stands with each model."""
        return [entry.download for entry in self._entries.values()]

    def missing(self, use: Use) -> str:
        """What is missing of the model for that, in a sentence; empty where nothing is."""
        entry = self._entries.get(use)
        return entry.download.missing if entry else ""

    def watch(self, changed: Callable[[], None]) -> None:
        """Have `changed` called, from any thread, after something came, went, or could not be had."""
        self._watchers.append(changed)

    async def run(self) -> None:
        """Look and fetch, for ever."""
        while True:
            try:
                await _in_thread(self._look_at_all)
                for entry in self._entries.values() if self._fetches else ():
                    if entry.download.missing and entry.wanted.files and time.monotonic() >= entry.due:
                        await self._fetch(entry)
                        break
            except Exception:  # never a reason to stop reading photos
                log.exception("cannot look after the weights")
            await asyncio.sleep(self._pace.look)

    def _look_at_all(self) -> None:
        for entry in self._entries.values():
            before, missing = entry.download.missing, entry.local.lacking()
            if missing and entry.wanted.files:
                missing = f"{missing}; {self._bringer}"
            if missing and missing != before:
                log.warning("weights missing", model=entry.wanted.model, reason=missing)
            elif before and not missing:
                log.info("weights are there", model=entry.wanted.model)
            ended = {} if missing else {"host": "", "trouble": "", "next_try": None}
            self._set(entry, missing=missing, arrived=entry.local.all_arrived, **ended)

    def _set(self, entry: _Entry, **changes: object) -> None:
        with self._changing:
            before = entry.download
            after = entry.download = replace(before, **changes)  # type: ignore[arg-type]
        if (before.missing, before.trouble) != (after.missing, after.trouble):
            for changed in self._watchers:
                changed()

    async def _fetch(self, entry: _Entry) -> None:
        """Try once; beside it looks go on, and end it where somebody has put the file there."""
        before, stop = entry.download.arrived, threading.Event()
        fetching = asyncio.ensure_future(_in_thread(lambda: self._fetch_all(entry, stop)))
        try:
            while not fetching.done():
                await asyncio.wait({fetching}, timeout=self._pace.look)
                if not fetching.done():
                    await _in_thread(self._look_at_all)
                if not entry.download.missing:
                    stop.set()
            fetching.result()
        except TakenError:
            entry.due = 0.0
            self._set(entry, host="", trouble="", next_try=None)
        except _StopError:
            pass
        except WeightsError as error:
            arrived = entry.download.arrived > before
            entry.pause = min(2 * entry.pause if entry.pause and not arrived else self._pace.first, self._pace.longest)
            entry.due = time.monotonic() + entry.pause
            at = datetime.now(UTC) + timedelta(seconds=entry.pause)
            model, seconds = entry.wanted.model, round(entry.pause)
            log.warning("cannot fetch weights", model=model, reason=str(error), again_in_seconds=seconds)
            self._set(entry, host="", trouble=str(error), next_try=at)
        else:
            entry.pause = 0.0
            await _in_thread(self._look_at_all)
        finally:
            stop.set()

    def _fetch_all(self, entry: _Entry, stop: threading.Event) -> None:
        for file in entry.wanted.files:
            if not entry.local.has(file):
                self._let_it_be_copied(file, stop)
                download(file, self._progress(entry, file, stop), silence=self._pace.silence)

    def _let_it_be_copied(self, file: PublishedFile, stop: threading.Event) -> None:
        """Until a file that somebody is copying there grows no more: it may be the right one in a moment."""
        while file.path.is_file() and file.path.stat().st_size < file.size and _age(file.path) < self._pace.copying:
            if stop.wait(self._pace.look):
                raise _StopError("somebody has put it there")

    def _progress(self, entry: _Entry, file: PublishedFile, stop: threading.Event) -> Callable[[str, int], None]:
        wanted = entry.wanted
        others = entry.local.all_arrived - entry.local.arrived(file)
        due = 0.0

        def progress(host: str, done: int) -> None:
            nonlocal due
            if stop.is_set():
                raise _StopError("somebody has put it there")
            self._set(entry, host=host, arrived=others + done)
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
