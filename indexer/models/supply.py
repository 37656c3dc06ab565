"""The weight files that a process needs: looked for, fetched in the background where they are missing, and told of.

Whoever needs a model asks `missing` before loading it, and is called after each change by `watch`. A file that somebody
puts there is found by looking; one that is not what was published is said so, and replaced.
"""

import asyncio
import importlib.util
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import structlog

from indexer.errors import WeightsError
from indexer.models import face_weights, weights
from indexer.models.download import TakenError, download
from indexer.models.published import Kind, PublishedFile, Source, megabytes
from indexer.settings import Settings

log = structlog.get_logger()

Use = Literal["clip", "faces"]
_Signature = tuple[int, int, int]
"""Number, size and time of a file: another one, another file."""


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


@dataclass(frozen=True)
class Wanted:
    """What one model needs: published files, and (a model of one's own) files that only a person can put there."""

    use: Use
    model: str
    files: tuple[PublishedFile, ...] = ()
    own: tuple[Path, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the published ones."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class Delivery:
    """How it stands with the weights of one model.

    Attributes:
        use: what the model is for.
        model: its name.
        missing: what is missing, in a sentence that stays the same while it is fetched; empty where all is there.
        arrived: bytes that are there.
        size: bytes of all of it; 0 where it is not known, as of a model of one's own.
        host: who delivers now; empty where nobody does.
        trouble: why it cannot be had for now.
        next_try: when all sources are asked again.
    """

    use: Use
    model: str
    missing: str = ""
    arrived: int = 0
    size: int = 0
    host: str = ""
    trouble: str = ""
    next_try: datetime | None = None

    @property
    def sentence(self) -> str:
        """All of it, for a person."""
        if not self.missing:
            return f"the weights of {self.model} are there"
        said = [self.missing]
        if self.size and (self.arrived or self.host):
            share = f"{100 * self.arrived // self.size} % of {megabytes(self.size)}"
            said.append(f"{share} fetched" + (f", now from {self.host}" if self.host else ""))
        if self.trouble:
            at = "" if self.next_try is None else f" (next try at {self.next_try.astimezone():%H:%M:%S})"
            said.append(f"{self.trouble}{at}")
        return "; ".join(said)


def wanted_by(settings: Settings, *, faces: bool = True) -> list[Wanted]:
    """What the settings ask for; the models for `faces` where no other server is named and InsightFace is here.

    Raises:
        WeightsError: a model is unknown.
    """
    found = [of_clip(settings, settings.clip_model)] if "clip" in settings.tasks else []
    if faces and not settings.ml_urls and importlib.util.find_spec("insightface") is not None:
        found.append(of_faces(settings))
    return found


def of_clip(settings: Settings, model: str) -> Wanted:
    """What that CLIP model needs. Raises WeightsError: it is unknown."""
    if model.endswith(".pt"):
        path = Path(model)
        return Wanted("clip", path.stem, own=(path, path.with_suffix(".json")))
    return Wanted("clip", model, (weights.published(model, settings.clip_download_root, _sources(settings)),))


def of_faces(settings: Settings) -> Wanted:
    """What FACE_MODEL needs. Raises WeightsError: it is unknown."""
    model = settings.face_model
    return Wanted("faces", model, face_weights.published(model, settings.face_download_root, _sources(settings)))


def _sources(settings: Settings) -> Sequence[Source]:
    first: Kind = "modelscope" if settings.weights_source == "modelscope" else "huggingface"
    return Source.all(first, settings.hf_endpoint, settings.modelscope_endpoint)


@dataclass
class _Known:
    """What is known of one model's files."""

    delivery: Delivery
    genuine: dict[Path, _Signature] = field(default_factory=dict)
    wrong: dict[Path, _Signature] = field(default_factory=dict)
    due: float = 0.0
    pause: float = 0.0


class _StopError(WeightsError):
    """The download is not wanted any more."""


class Supply:
    """Keeps what is `wanted` there, from `run` on; all but `run` may be called from any thread.

    Args:
        wanted: the first first.
        fetches: whether to fetch what is missing, or only to look for it.
        pace: how patient to be.
    """

    def __init__(self, wanted: Sequence[Wanted], *, fetches: bool = True, pace: Pace | None = None) -> None:
        self._fetches = fetches
        self._pace = pace or Pace()
        self._watchers: list[Callable[[], None]] = []
        self._wanted = {one.use: one for one in wanted}
        self._known = {one.use: _Known(Delivery(one.use, one.model, size=one.size)) for one in wanted}
        self._told: dict[Use, str] = {}
        self._changing = threading.Lock()
        self._look_at_all()

    @classmethod
    def of(cls, settings: Settings, *, faces: bool = True) -> "Supply":
        """As the settings say. Raises WeightsError: a model is unknown."""
        wanted = wanted_by(settings, faces=faces)
        folders = {path.parent for one in wanted for path in (*one.own, *(file.path for file in one.files))}
        writable = all(_is_writable(folder) for folder in folders)
        return cls(wanted, fetches=writable and settings.weights_source != "none")

    @property
    def deliveries(self) -> list[Delivery]:
        """How it stands with each model."""
        return [known.delivery for known in self._known.values()]

    def missing(self, use: Use) -> str:
        """What is missing of the model for that, in a sentence; empty where nothing is."""
        known = self._known.get(use)
        return known.delivery.missing if known else ""

    def watch(self, changed: Callable[[], None]) -> None:
        """Have `changed` called, from any thread, after something came, went, or could not be had."""
        self._watchers.append(changed)

    async def run(self) -> None:
        """Look and fetch, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await _in_thread(self._look_at_all)
            if self._fetches:
                for use, known in self._known.items():
                    if known.delivery.missing and self._wanted[use].files and loop.time() >= known.due:
                        await self._fetch(self._wanted[use], known)
                        break
            await asyncio.sleep(self._pace.look)

    # Looking

    def _look_at_all(self) -> None:
        for use, wanted in self._wanted.items():
            known = self._known[use]
            missing = self._look(wanted, known)
            arrived = sum(_arrived(file, known) for file in wanted.files)
            ended = {} if missing else {"host": "", "trouble": "", "next_try": None}
            if missing != self._told.get(use, ""):
                if missing:
                    log.warning("weights missing", model=wanted.model, reason=missing)
                else:
                    log.info("weights are there", model=wanted.model)
            self._told[use] = missing
            self._set(known, missing=missing, arrived=arrived, **ended)

    def _look(self, wanted: Wanted, known: _Known) -> str:
        """What is missing, in a sentence."""
        if absent := [path for path in wanted.own if _signature(path) is None]:
            names = " and ".join(str(path) for path in absent)
            return f"the model {wanted.model} is not there yet: put {names} there; it is then taken up by itself"
        lacking = []
        for file in wanted.files:
            signature = _signature(file.path)
            if signature is None:
                lacking.append(f"{file.path} ({file.size} bytes) is missing")
            elif known.genuine.get(file.path) != signature:
                if known.wrong.get(file.path) != signature:
                    known.genuine.pop(file.path, None)
                    if file.is_genuine():
                        known.genuine[file.path] = signature
                        continue
                    known.wrong[file.path] = signature
                unread = not os.access(file.path, os.R_OK)
                why = "may not be read by us" if unread else "is damaged or another file than was published"
                lacking.append(f"{file.path} {why}")
        if not lacking:
            return ""
        how = "it is fetched by itself" if self._fetches else "the indexer fetches it, or a person puts it there"
        return f"the weights of {wanted.model} are not there yet: {' and '.join(lacking)}; {how}"

    def _set(self, known: _Known, **changes: object) -> None:
        with self._changing:
            before = known.delivery
            after = known.delivery = replace(before, **changes)  # type: ignore[arg-type]
        if (before.missing, before.trouble) != (after.missing, after.trouble):
            for changed in self._watchers:
                changed()

    # Fetching

    async def _fetch(self, wanted: Wanted, known: _Known) -> None:
        """Try once; a look goes on beside it, which ends it where somebody has put the file there."""
        loop = asyncio.get_running_loop()
        before = known.delivery.arrived
        stop = threading.Event()
        fetching = asyncio.ensure_future(_in_thread(lambda: self._fetch_all(wanted, known, stop)))
        try:
            while not fetching.done():
                await asyncio.wait({fetching}, timeout=self._pace.look)
                if not fetching.done():
                    await _in_thread(self._look_at_all)
                if not known.delivery.missing:
                    stop.set()
            fetching.result()
        except TakenError:
            known.due = loop.time() + self._pace.look
            self._set(known, host="", trouble="", next_try=None)
        except WeightsError as error:
            if stop.is_set():
                return
            again = known.delivery.arrived > before
            known.pause = self._pace.first if again else min(2 * known.pause or self._pace.first, self._pace.longest)
            known.due = loop.time() + known.pause
            at = datetime.now(UTC) + timedelta(seconds=known.pause)
            log.warning("cannot fetch weights", model=wanted.model, reason=str(error), again_in=round(known.pause))
            self._set(known, host="", trouble=str(error), next_try=at)
        else:
            known.pause = 0.0
            await _in_thread(self._look_at_all)
        finally:
            stop.set()

    def _fetch_all(self, wanted: Wanted, known: _Known, stop: threading.Event) -> None:
        for file in wanted.files:
            if not _is_there(file, known):
                self._let_it_be_copied(file, stop)
                download(file, self._progress(wanted, file, known, stop))

    def _let_it_be_copied(self, file: PublishedFile, stop: threading.Event) -> None:
        """Until a file that somebody is copying there grows no more: it may be the right one in a moment."""
        while file.path.is_file() and file.path.stat().st_size < file.size and _age(file.path) < self._pace.copying:
            if stop.wait(self._pace.look):
                raise _StopError("somebody has put it there")

    def _progress(
        self, wanted: Wanted, file: PublishedFile, known: _Known, stop: threading.Event
    ) -> Callable[[str, int], None]:
        others = sum(_arrived(other, known) for other in wanted.files if other != file)
        next_line = [0.0]

        def progress(host: str, done: int) -> None:
            if stop.is_set():
                raise _StopError("it is not wanted any more")
            self._set(known, host=host, arrived=others + done)
            now = datetime.now(UTC).timestamp()
            if now >= next_line[0]:
                next_line[0] = now + self._pace.told
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


def _signature(path: Path) -> _Signature | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns)


def _is_there(file: PublishedFile, known: _Known) -> bool:
    signature = _signature(file.path)
    return signature is not None and known.genuine.get(file.path) == signature


def _arrived(file: PublishedFile, known: _Known) -> int:
    """Bytes of it that are there, a wrong file left out."""
    if _is_there(file, known):
        return file.size
    part = _signature(file.part)
    return 0 if part is None else min(part[1], file.size)


def _age(path: Path) -> float:
    """Seconds since it was written to, by a clock that may have been set."""
    return abs(datetime.now(UTC).timestamp() - path.stat().st_mtime)


def _is_writable(folder: Path) -> bool:
    """Whether a file can be made in `folder`, which may itself have to be made."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK)
