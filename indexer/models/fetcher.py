"""Provides the weight files of a process: checks them, and downloads missing ones in the background.

Code that needs a model calls `missing` before loading it, and is called after each change by `watch`. A file that a
person copies there is noticed. A file that differs from the published one is reported and replaced.
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
from indexer.models.files.download import TakenError, download
from indexer.models.files.published import ModelFiles, PublishedFile, Use, megabytes
from indexer.models.model_files import DownloadState, LocalFiles
from indexer.settings import Settings

log = structlog.get_logger()


@dataclass(frozen=True)
class Pace:
    """A fetcher's pauses, in seconds.

    Attributes:
        look: between two checks of the files.
        first: until it asks all sources again. Doubled each time after that.
        longest: the longest such pause.
        copying: a file that is too short and has not grown for so long is not being copied any more.
        told: between two log lines about the progress.
        silence: without a byte, after which the next host is asked.
    """

    look: float = 5
    first: float = 30
    longest: float = 3600
    copying: float = 20
    told: float = 30
    silence: float = 10


class _Entry:
    """The state of one model: the wanted files, the present files, and when to try the download again."""

    def __init__(self, wanted: ModelFiles) -> None:
        self.wanted = wanted
        self.local = LocalFiles(wanted)
        self.download = DownloadState(wanted.use, wanted.model, size=wanted.size)
        self.pause = 0.0
        self.due = 0.0

    def learn(self, wanted: ModelFiles) -> None:
        """It is known now which files there are."""
        self.wanted = wanted
        self.local = LocalFiles(wanted)


class _StopError(WeightsError):
    """The download is no longer needed."""


class Fetcher:
    """Provides the files that are `wanted`, while `run` runs. All methods but `run` may be called from any thread.

    The constructor reads the existing files: seconds per gigabyte.

    Args:
        wanted: the models, in the order in which to download them.
        fetches: whether to download what is missing, or only to check for it.
        bringer: a sentence: who downloads it if this fetcher does not.
        pace: its pauses.
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
        """A fetcher for these settings. It downloads if it may write there. Raises WeightsError: unknown model."""
        wanted = model_files.all_files(settings)
        folders = {path.parent for one in wanted for path in one.paths}
        if settings.weights_source == "none":
            return cls(wanted, fetches=False, bringer="WEIGHTS_SOURCE=none: a person is to put it there")
        return cls(wanted, fetches=all(map(_is_writable, folders)))

    @property
    def downloads(self) -> list[DownloadState]:
        """The state of each model."""
        return [entry.download for entry in self._entries.values()]

    def missing(self, use: Use) -> str:
        """What the model for that use lacks, in a sentence. Empty where nothing."""
        entry = self._entries.get(use)
        return entry.download.missing if entry else ""

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed`, from any thread, after a file arrived, disappeared, or could not be downloaded."""
        self._watchers.append(changed)

    async def run(self) -> None:
        """Check and download, without end."""
        while True:
            try:
                await _in_thread(self._look_at_all)
                for entry in self._entries.values() if self._fetches else ():
                    if entry.download.missing and entry.wanted.is_published and time.monotonic() >= entry.due:
                        await self._fetch(entry)
                        break
            except Exception:  # must never stop the reading of photos
                log.exception("cannot check the weights")
            await asyncio.sleep(self._pace.look)

    def _look_at_all(self) -> None:
        for entry in self._entries.values():
            self._look_up(entry)
            before, missing = entry.download.missing, entry.local.lacking()
            if missing and entry.wanted.is_published:
                missing = f"{missing}; {self._bringer}"
            if missing and missing != before:
                log.warning("weights missing", model=entry.wanted.model, reason=missing)
            elif before and not missing:
                log.info("weights are complete", model=entry.wanted.model)
            ended = {} if missing else {"host": "", "trouble": "", "next_try": None}
            self._set(entry, missing=missing, arrived=entry.local.all_arrived, **ended)

    def _look_up(self, entry: _Entry) -> None:
        """Whether another process has learnt which files there are."""
        repository = entry.wanted.repository
        if repository is not None and (wanted := repository.known()) is not None:
            self._learn(entry, wanted)

    def _learn(self, entry: _Entry, wanted: ModelFiles) -> None:
        entry.learn(wanted)
        self._set(entry, size=entry.wanted.size)

    def _set(self, entry: _Entry, **changes: object) -> None:
        with self._changing:
            before = entry.download
            after = entry.download = replace(before, **changes)  # type: ignore[arg-type]
        if (before.missing, before.trouble) != (after.missing, after.trouble):
            for changed in self._watchers:
                changed()

    async def _fetch(self, entry: _Entry) -> None:
        """Try to download once. Checks go on meanwhile, and stop the download if a person copies the file there."""
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
            log.warning("cannot download weights", model=model, reason=str(error), again_in_seconds=seconds)
            self._set(entry, host="", trouble=str(error), next_try=at)
        else:
            entry.pause = 0.0
            await _in_thread(self._look_at_all)
        finally:
            stop.set()

    def _fetch_all(self, entry: _Entry, stop: threading.Event) -> None:
        if entry.wanted.repository is not None:
            self._learn(entry, entry.wanted.repository.ask())
        for file in entry.wanted.files:
            if not entry.local.has(file):
                self._let_it_be_copied(file, stop)
                download(file, self._progress(entry, file, stop), silence=self._pace.silence)

    def _let_it_be_copied(self, file: PublishedFile, stop: threading.Event) -> None:
        """Wait until a file that is being copied there stops growing: it may be the right one soon."""
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
                log.info(
                    "downloading weights", model=wanted.model, host=host, percent=percent, of=megabytes(wanted.size)
                )

        return progress


async def _in_thread(work: Callable[[], None]) -> None:
    """`work` in a thread that the process does not wait for at its end: a host may not answer for a long time."""
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
    """Seconds since the file was last written. The clock may have been changed since."""
    return abs(time.time() - path.stat().st_mtime)


def _is_writable(folder: Path) -> bool:
    """Whether we can create a file in `folder`, and `folder` itself if it does not exist."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK)
