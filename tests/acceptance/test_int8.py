"""In int8: an indexer makes its models on the library's own photos, and goes on with them if they are good."""

import asyncio
from pathlib import Path
from random import Random
from uuid import UUID

import asyncpg
import pytest

from bench.reading_pictures import samples
from indexer.demo.drawn import WEIGHTS
from indexer.demo.drawn.scenes import draw, encoded, invent
from indexer.demo.immich import StandIn
from indexer.demo.packages import cn_clip
from indexer.models.clip.cn_clip.small import small_config, write_random_checkpoint
from indexer.models.clip.makers import maker_of
from indexer.models.engines.states import Phase
from indexer.models.int8 import clip, record
from indexer.models.int8 import ocr as int8_ocr
from indexer.models.int8.clip import ClipRecord
from indexer.models.int8.ocr import OcrRecord
from indexer.models.load import load_models
from indexer.models.ocr.names import OcrSettings
from indexer.work import doctor, int8_watch
from indexer.work.device import device_finding
from indexer.work.pace import WorkerPace
from tests.support.workers import eventually, idle, settings_for, working


async def test_it_is_made_once_there_are_enough_photos(
    database: str, immich: StandIn, connection: asyncpg.Connection, owner: UUID, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(int8_watch, "PHOTOS", 20)
    # So few photos say little of the ranges, and so small a model is no faster in int8.
    for module, name, value in [(clip, "LEAST_COSINE", 0.9), (clip, "LEAST_KEPT", 0.5), (record, "MOST_OF_TIME", 100)]:
        monkeypatch.setattr(module, name, value)
    chance, root = Random(3), tmp_path / "root"
    package = cn_clip.write_package(WEIGHTS, tmp_path / "drawn", external=True)
    settings = settings_for(
        database,
        immich.media.directory,
        clip_model=str(package),
        clip_precision="int8",
        clip_download_root=root,
        device="cpu",
        tasks="clip",
    )
    name = maker_of(str(package)).identify(str(package), root).name

    async def upload(count: int) -> None:
        for _ in range(count):
            await immich.upload(encoded(draw(invent(chance), 200, 150)), owner=owner)

    async def is_made() -> bool:
        return record.read(ClipRecord, name, root) is not None

    async def is_opened_again() -> bool:
        return Phase.LOADING in phases and phases[-1] is Phase.READY

    phases: list[Phase] = []
    models = load_models(settings)
    engine = models.engines["clip"]
    async with working(settings, models, pace=WorkerPace(int8=0.1)):
        await upload(19)
        await idle(connection)
        assert not await is_made(), "there are too few photos"
        engine.watch(lambda: phases.append(engine.state.phase))
        await immich.upload(b"no picture", owner=owner)
        await upload(1)
        await eventually(is_made, 60)
        await eventually(is_opened_again, 30)
        await upload(3)
        await eventually(lambda: connection.fetchval("SELECT count(*) = 23 FROM smart_search"), 30)
    measured = record.read(ClipRecord, name, root)
    assert measured is not None
    assert measured.photos == 8


@pytest.mark.timeout(300)
async def test_ocr_is_made_once_enough_photos_have_text(
    database: str, immich: StandIn, connection: asyncpg.Connection, owner: UUID, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(int8_watch, "PHOTOS", 20)
    # So few photos say little, and on a processor with bf16 OCR is not faster in int8.
    for module, name, value in [
        (int8_ocr, "LEAST_LINES", 1),
        (record, "MOST_OF_TIME", 100),
    ]:
        monkeypatch.setattr(module, name, value)
    root = tmp_path / "root"
    settings = settings_for(
        database,
        immich.media.directory,
        ocr_precision="int8",
        clip_download_root=root,
        device="cpu",
        tasks="ocr",
        ocr_detect_side=640,
    )
    name = OcrSettings.of(settings).name
    phases: list[Phase] = []
    models = load_models(settings)
    engine = models.engines["ocr"]

    async def is_opened_again() -> bool:
        return Phase.LOADING in phases and phases[-1] is Phase.READY

    async with working(settings, models, pace=WorkerPace(int8=0.1)):
        for sample in samples("leaves", 11):
            await immich.upload(sample.data, owner=owner)
        for sample in samples("tilted", 9):
            await immich.upload(sample.data, owner=owner)
        await idle(connection)
        assert record.read(OcrRecord, name, root) is None, "too few of the photos have text"
        engine.watch(lambda: phases.append(engine.state.phase))
        for sample in samples("tilted", 3, seed=1):
            await immich.upload(sample.data, owner=owner)
        await eventually(is_opened_again, 240)
        await immich.upload(samples("tilted", 1, seed=2)[0].data, owner=owner)
        await eventually(
            lambda: connection.fetchval("SELECT count(*) = 13 FROM immich_indexer.photo WHERE text <> ''"), 30
        )
    measured = record.read(OcrRecord, name, root)
    assert measured is not None
    assert (measured.name, measured.photos, set(measured.digests)) == (name, 8, set(int8_ocr.PARTS))
    assert measured.lines > 5
    assert measured.time > 0
    assert measured.sentence.startswith("used; "), "it reads nearly the same"
    assert measured.sentence in device_finding(settings).text


async def test_without_being_asked_nothing_is_made(
    database: str, immich: StandIn, connection: asyncpg.Connection, owner: UUID, monkeypatch
):
    monkeypatch.setattr(int8_watch, "PHOTOS", 1)
    looked = asyncio.Event()
    monkeypatch.setattr(int8_watch, "read", lambda *_: looked.set())
    async with working(settings_for(database, immich.media.directory), pace=WorkerPace(int8=0.01)):
        await immich.upload(encoded(draw(invent(Random(1)), 200, 150)), owner=owner)
        await idle(connection)
    assert not looked.is_set()


async def test_doctor_tells_what_was_measured(tmp_path: Path):
    path, root = tmp_path / "small.pt", tmp_path / "root"
    write_random_checkpoint(path, small_config(), note=None)
    nowhere = "postgresql://127.0.0.1:1/immich"
    settings = settings_for(nowhere, tmp_path, clip_model=str(path), clip_precision="int8", clip_download_root=root)

    async def found() -> str:
        [weights] = [each.text for each in await doctor.examine(settings) if each.check == "weights"]
        return weights

    assert (await found()).endswith("; int8: not measured yet")
    name = maker_of(str(path)).identify(str(path), root).name
    (root / "int8").mkdir(parents=True)
    record.write(ClipRecord(name, 200, 0.4, {}, 0.991, 1, 512, {"kind": "squeezed", "side": 224}), root)
    assert "; int8: not used: its vectors would differ (cosine 0.9910" in await found()
