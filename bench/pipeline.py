"""What the service costs on top of its models: photos a second through all of it, against the bare models.

Both sides see the same pictures through models loaded alike, in turn: the bare ones in this process, the pipeline's in
processes of their own, as always. PostgreSQL's work is on the pipeline's account, and so is what goes between those.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import asyncpg

from bench.models_raw import Models as RawModels
from bench.models_raw import load_models, raw_images_per_second, raw_seconds_per_photo
from bench.queue import on_database
from indexer import allocator
from indexer.database.pool import Pool
from indexer.demo.immich import StandIn
from indexer.demo.pictures import draw_all
from indexer.models.clip.cn_clip.shapes import configuration
from indexer.models.clip.cn_clip.small import write_random_checkpoint
from indexer.models.runtimes.device import Device, resolve_device
from indexer.queue.jobs import Priority
from indexer.queue.requests import enqueue
from indexer.settings import Settings
from indexer.work.worker import Worker
from indexer.work.worker import load_models as load_hosted

NAME = "pipeline"
DESCRIPTION = "photos/s from queue to Immich's columns, as a share of the bare models' photos/s"


def run(options: argparse.Namespace) -> dict[str, object]:
    """Returns `efficiency` (median of the rounds' ratios) and both speeds."""
    allocator.keep_freed()  # as the indexer's command does
    rounds, repeats = (2, 1) if options.quick else (5, 1)
    with tempfile.TemporaryDirectory() as name, on_database(options.url) as url:
        work = Path(name)
        pictures = [picture.path for picture in draw_all(work / "pictures")] * repeats
        with checkpoint(options.clip, work) as clip:
            return asyncio.run(_measure(url, pictures, clip, resolve_device(options.device), work, rounds))


@contextmanager
def checkpoint(clip: str | None, work: Path) -> Iterator[str]:
    """The model asked for, or a ViT-B-16 of random weights: as fast as the real one."""
    if clip is not None:
        yield clip
        return
    path = work / "random-vit-b-16.pt"
    write_random_checkpoint(path, configuration("ViT-B-16"))
    yield str(path)


async def _measure(
    url: str, pictures: list[Path], clip: str, device: Device, work: Path, rounds: int
) -> dict[str, object]:
    settings = Settings.load(
        db_url=url,
        media_path_map=f"/data={work / 'media'}",
        clip_model=clip,
        device=device,
        reconcile_seconds=3600,
        _env_file=None,
    )
    raw = load_models(clip, device=device, threads=1)
    previews = [path.read_bytes() for path in pictures]
    pool = await asyncpg.create_pool(url, min_size=1, max_size=4)
    models = await asyncio.to_thread(load_hosted, settings)
    worker = Worker(settings, models)
    task = None
    try:
        immich = StandIn(pool, work / "media")
        await immich.install()
        owner = await immich.create_user("bench")
        task = asyncio.create_task(worker.run())
        await worker.listener.listening.wait()
        assets = [await immich.upload(preview, owner=owner) for preview in previews]
        await idle(pool)
        piped, bare = [], []
        for _ in range(rounds):
            piped.append(len(assets) / await reread(pool, assets))
            bare.append(await asyncio.to_thread(raw_images_per_second, previews, raw))
        alone = await asyncio.to_thread(_alone, previews, raw)
    finally:
        worker.stop()
        if task is not None:
            await task
        models.close()
        await pool.close()
    return {
        "efficiency": round(statistics.median(p / b for p, b in zip(piped, bare, strict=True)), 3),
        "efficiency_rounds": [round(p / b, 3) for p, b in zip(piped, bare, strict=True)],
        "images_per_s": round(statistics.median(piped), 3),
        "raw_images_per_s": round(statistics.median(bare), 3),
        "raw_seconds_per_photo": alone,
        "photos": len(pictures),
        "device": device,
        "clip": raw.clip.name,
        "ocr": raw.ocr.name,
    }


def _alone(previews: list[bytes], raw: RawModels) -> float:
    return round(raw_seconds_per_photo(previews, raw).total, 3)


async def reread(pool: "asyncpg.Pool[asyncpg.Record]", assets: Sequence[UUID]) -> float:
    """Seconds until all are read again: a person asks for them, so that nothing is taken from what is known."""
    start = time.perf_counter()
    await enqueue(Pool(pool), assets, ("clip!", "ocr!"), Priority.BACKFILL)
    await idle(pool)
    return time.perf_counter() - start


async def idle(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    """Waits until nothing is left to read."""
    while await pool.fetchval(
        "SELECT EXISTS (SELECT FROM immich_indexer.inbox) OR EXISTS (SELECT FROM immich_indexer.job WHERE NOT dead)"
    ):
        await asyncio.sleep(0.02)
