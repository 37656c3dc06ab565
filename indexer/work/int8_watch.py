"""Has models made in int8 on the person's own previews, once there are enough: for CLIP_PRECISION and OCR_PRECISION."""

import asyncio
import contextlib
import json
import os
import random
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from indexer import images
from indexer.database.pool import Pool
from indexer.database.trouble import TROUBLE
from indexer.errors import IndexerError, PictureError
from indexer.models.engines.hosted import Hosted, HostedClip, HostedOcr, name_of
from indexer.models.inference import ClipModel, OcrModel
from indexer.models.int8.clip import ClipRecord
from indexer.models.int8.ocr import OcrRecord
from indexer.models.int8.record import Record, discard, read
from indexer.models.ocr.names import OcrSettings
from indexer.photos import photo as photos
from indexer.settings import Settings
from indexer.work.media import Media, MediaError

log = structlog.get_logger()

PHOTOS = 500
"""Of the library, by chance: to choose the ranges of the numbers by, and to compare."""

_SPARE = 100  # previews that may turn out not to be readable
_REOPENED = "it is opened again in int8"


@dataclass(frozen=True)
class _Wanted:
    """A model that is to be made in int8. `job`: as `indexer.models.int8.make` takes it. `kind`: of its record."""

    model: Hosted
    kind: type[Record]
    job: Mapping[str, object]
    previews: Callable[[Pool, int], Awaitable[list[str]]]


async def watch(settings: Settings, pool: Pool, clip: ClipModel | None, ocr: OcrModel | None, pause: float) -> None:
    """Look every `pause` seconds whether the models can be made, until they are; then wait, without end.

    Afterwards a model's engine is opened again: it takes int8 if that is nearly the same, and faster.
    """
    wanted = []
    if settings.clip_precision == "int8" and isinstance(clip, HostedClip):
        wanted.append(_Wanted(clip, ClipRecord, {"clip": settings.clip_model}, photos.previews))
    if settings.ocr_precision == "int8" and isinstance(ocr, HostedOcr):
        wanted.append(_Wanted(ocr, OcrRecord, {"ocr": asdict(OcrSettings.of(settings))}, _half_with_text))
    while wanted := [each for each in wanted if not await _is_settled(settings, pool, each)]:  # noqa: ASYNC110
        await asyncio.sleep(pause)  # no event tells of it
    await asyncio.Event().wait()


async def _half_with_text(pool: Pool, count: int) -> list[str]:
    """Few photos of a library may have text. Nothing where too few have."""
    found = await photos.previews_with_text(pool, count // 2)
    if len(found) < PHOTOS // 2:
        return []
    others = [path for path in await photos.previews(pool, count) if path not in found]
    found += others[: count - len(found)]
    random.shuffle(found)
    return found


async def _is_settled(settings: Settings, pool: Pool, wanted: _Wanted) -> bool:
    model, root = wanted.model, settings.clip_download_root
    facts, name = model.engine.facts, name_of(model)
    if facts is None or name is None:
        return False  # its weights are still on their way
    if facts.device != "cpu" or read(wanted.kind, name, root) is not None:
        return True
    try:
        paths = await wanted.previews(pool, PHOTOS + _SPARE)
        previews = await _read(settings, paths) if len(paths) >= PHOTOS else []
        if len(previews) < PHOTOS:
            return False
        log.info("making a model in int8: some minutes, beside other work", model=name, photos=len(previews))
        made, said = await _make(settings, wanted.job, previews)
    except (*TROUBLE, IndexerError, OSError) as error:
        log.info("the model will be made in int8 later", error=str(error))
        return False
    (log.info if made else log.warning)("int8", model=name, found=said)
    record = read(wanted.kind, name, root)
    if record is not None and record.refused:
        discard(record, root)
    elif record is not None:
        model.engine.hold(_REOPENED)
        model.engine.hold("")
    return True


async def _read(settings: Settings, paths: Sequence[str]) -> list[bytes]:
    """Those previews that can be read."""
    media, most = Media.of(settings), settings.max_megapixels * 1_000_000
    found: list[bytes] = []
    for path in paths:
        with contextlib.suppress(MediaError, PictureError):
            data = await media.read(path)
            await asyncio.to_thread(images.decode, data, max_pixels=most)
            found.append(data)
        if len(found) == PHOTOS:
            break
    return found


async def _make(settings: Settings, job: Mapping[str, object], previews: Sequence[bytes]) -> tuple[bool, str]:
    """Whether it was made, and what its process said of it."""
    with tempfile.TemporaryDirectory() as name:
        await asyncio.to_thread(_write, Path(name), previews)
        whole = {"root": str(settings.clip_download_root), "threads": settings.threads, **job}
        command = [sys.executable, "-P", "-m", "indexer.models.int8.make", json.dumps(whole), name]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, env=environment
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    said = output.decode(errors="replace").strip().splitlines() or [f"its process ended with {process.returncode}"]
    return process.returncode == 0, said[-1]


def _write(folder: Path, previews: Sequence[bytes]) -> None:
    for number, data in enumerate(previews):
        (folder / f"{number:05}").write_bytes(data)
