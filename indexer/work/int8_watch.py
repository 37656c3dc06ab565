"""Has the CLIP model made in int8 on the person's own previews, once there are enough, where CLIP_PRECISION=int8."""

import asyncio
import contextlib
import os
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Sequence
from pathlib import Path

import structlog

from indexer import images
from indexer.database.pool import Pool
from indexer.database.trouble import TROUBLE
from indexer.errors import IndexerError, PictureError
from indexer.models import int8
from indexer.models.hosted import HostedClip, name_of
from indexer.models.inference import ClipModel
from indexer.photos import photo as photos
from indexer.settings import Settings
from indexer.work.media import Media, MediaError

log = structlog.get_logger()

PHOTOS = 500
"""Of the library, by chance: to choose the ranges of the numbers by, and to compare."""

_SPARE = 100  # previews that may turn out not to be readable
_REOPENED = "it is opened again in int8"


async def watch(settings: Settings, pool: Pool, model: ClipModel | None, pause: float) -> None:
    """Look every `pause` seconds whether `model` can be made, until it is; then wait, without end.

    Afterwards its engine is opened again: it takes int8 if that is nearly the same, and faster.
    """
    if settings.clip_precision == "int8" and isinstance(model, HostedClip):
        while not await _is_settled(settings, pool, model):  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(pause)
    await asyncio.Event().wait()


async def _is_settled(settings: Settings, pool: Pool, model: HostedClip) -> bool:
    facts, name = model.engine.facts, name_of(model)
    if facts is None or name is None:
        return False  # its weights are still on their way
    if facts.device != "cpu" or int8.read(name, settings.clip_download_root) is not None:
        return True
    try:
        paths = await photos.previews(pool, PHOTOS + _SPARE)
        previews = await _read(settings, paths) if len(paths) >= PHOTOS else []
        if len(previews) < PHOTOS:
            return False
        log.info("making the model in int8: some minutes, beside other work", clip=name, photos=len(previews))
        made, said = await _make(settings, previews)
    except (*TROUBLE, IndexerError, OSError) as error:
        log.info("the model will be made in int8 later", error=str(error))
        return False
    (log.info if made else log.warning)("int8", clip=name, found=said)
    record = int8.read(name, settings.clip_download_root)
    if record is not None and record.refused:
        int8.discard(name, settings.clip_download_root)
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


async def _make(settings: Settings, previews: Sequence[bytes]) -> tuple[bool, str]:
    """Whether it was made, and what its process said of it."""
    with tempfile.TemporaryDirectory() as name:
        await asyncio.to_thread(_write, Path(name), previews)
        command = [sys.executable, "-P", "-m", "indexer.models.int8_make"]
        arguments = [settings.clip_model, str(settings.clip_download_root), str(settings.threads), name]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = await asyncio.create_subprocess_exec(
            *command, *arguments, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, env=environment
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
