"""Bad input and bad days: nothing is lost, nothing stops behind one photo, and `status` says why one failed."""

import asyncio
import contextlib
import io
import os
import random
import threading
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import asyncpg
import numpy as np
import pytest
from pgvector import Vector
from PIL import Image

from indexer import images
from indexer.database import schema
from indexer.database.pool import PATIENCE, Pool, open_pool
from indexer.demo.immich import OcrLine
from indexer.immich import tokens as immich_text
from indexer.models.engines.states import PROVEN
from indexer.photos import results
from indexer.queue import requests
from indexer.queue.backlog import Failure
from indexer.text.query import parse
from indexer.views import status
from indexer.work import reconcile
from indexer.work.pace import WorkerPace
from indexer.work.reconcile import Reconciler, Repairs
from indexer.work.worker import Models
from tests.support import stubs, workers
from tests.support.hosts import hosted_clip, hosted_ocr
from tests.support.installs import install
from tests.support.proxy import Proxy
from tests.support.stubs import StubClip, StubOcr
from tests.support.workers import QUICK, eventually, failures, idle, is_indexed, lines_of, settings_for, vector_of

Connection = asyncpg.Connection

working = partial(workers.working, pace=QUICK)


class Gate:
    """Holds a model's call until it is opened, so that something can happen while a photo is in flight."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._opened = threading.Event()

    def __call__(self) -> None:
        self._reached.set()
        assert self._opened.wait(60), "nobody opened the gate"

    async def reached(self) -> None:
        assert await asyncio.to_thread(self._reached.wait, 30), "no photo came to the gate"

    def open(self) -> None:
        self._opened.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


async def results_anywhere(connection: Connection, asset: UUID) -> int:
    return await connection.fetchval(
        """SELECT (SELECT count(*) FROM smart_search WHERE "assetId" = $1)
                + (SELECT count(*) FROM asset_ocr WHERE "assetId" = $1)
                + (SELECT count(*) FROM ocr_search WHERE "assetId" = $1)
                + (SELECT count(digest) FROM immich_indexer.photo WHERE asset_id = $1)""",
        asset,
    )


async def has_facts(connection: Connection, asset: UUID) -> bool:
    return await connection.fetchval("SELECT EXISTS (SELECT FROM immich_indexer.photo WHERE asset_id = $1)", asset)


async def has_no_facts(connection: Connection, asset: UUID) -> bool:
    return not await has_facts(connection, asset)


# Previews


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG of 30,000 x 30,000 black pixels in a hundred kilobytes."""
    side = 30_000

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    packer = zlib.compressobj(1)
    rows = bytes((1 + side // 8) * 1000)
    packed = b"".join([*(packer.compress(rows) for _ in range(side // 1000)), packer.flush()])
    header = side.to_bytes(4) * 2 + bytes([1, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


PHOTO = Image.fromarray(np.random.default_rng(7).integers(0, 256, (40, 60, 3), dtype=np.uint8))

BAD = {
    "missing": (b"a file that is deleted", "preview missing"),
    "empty": (b"", "preview empty"),
    "truncated": (encoded(PHOTO, "JPEG")[:-600], "not a readable picture"),
    "not an image": (b"<html>502 Bad Gateway</html>", "not a readable picture"),
    "bomb": (bomb(), "picture too large: 30000 x 30000"),
}

ODD = {
    "1x1": encoded(Image.new("RGB", (1, 1), "red"), "PNG"),
    "16 bit": encoded(Image.fromarray(np.arange(2400, dtype=np.uint16).reshape(40, 60) * 27), "PNG"),
    "CMYK": encoded(PHOTO.convert("CMYK"), "JPEG"),
    "alpha": encoded(PHOTO.convert("RGBA"), "PNG"),
    "palette": encoded(PHOTO.convert("P"), "GIF"),
    "animated": encoded(PHOTO, "WEBP", save_all=True, append_images=[PHOTO.rotate(180)] * 3, lossless=True),
    "WebP": encoded(PHOTO, "WEBP"),
}


async def test_bad_previews_fail_with_their_reason_and_odd_ones_are_read(database, immich, connection, owner):
    bad = {name: await immich.upload(content, owner=owner) for name, (content, _) in BAD.items()}
    odd = {name: await immich.upload(content, owner=owner) for name, content in ODD.items()}
    path = await connection.fetchval(
        "SELECT path FROM asset_file WHERE \"assetId\" = $1 AND type = 'preview'", bad["missing"]
    )
    immich.media.delete(path)
    async with working(settings_for(database, immich.media.directory, max_attempts=2)):
        await eventually(lambda: connection.fetchval("SELECT count(digest) = $1 FROM immich_indexer.photo", len(odd)))
        await idle(connection)
        found = await failures(connection)
        for name, (_, reason) in BAD.items():
            assert reason in found[bad[name]].error
            assert (found[bad[name]].dead, found[bad[name]].attempts) == (True, 2)
            assert await results_anywhere(connection, bad[name]) == 0
            assert await eventually(lambda name=name: has_facts(connection, bad[name])), "it is found by its name"
        assert set(found) == set(bad.values())
        for name, asset in odd.items():
            assert await is_indexed(connection, asset, ODD[name]), name

        # The preview is made again, well this time: the event revives what was given up.
        await immich.generate_thumbnails(bad["truncated"], encoded(PHOTO, "JPEG"))
        await idle(connection)
        assert await is_indexed(connection, bad["truncated"], encoded(PHOTO, "JPEG"))
        assert bad["truncated"] not in await failures(connection)


async def test_a_preview_that_vanishes_before_it_is_read(database, immich, connection, owner, monkeypatch):
    asset = await immich.upload(stubs.picture(1), owner=owner)
    content = stubs.picture(1)
    read = images.read

    def vanishing(path, *, max_bytes):
        path.unlink(missing_ok=True)
        return read(path, max_bytes=max_bytes)

    monkeypatch.setattr(images, "read", vanishing)
    async with working(settings_for(database, immich.media.directory, max_attempts=1)):

        async def given_up():
            return (await failures(connection)).get(asset)

        assert "preview missing" in (await eventually(given_up)).error
        monkeypatch.setattr(images, "read", read)
        await immich.generate_thumbnails(asset, content)
        await eventually(lambda: is_indexed(connection, asset, content))


@pytest.mark.parametrize("mount_point_stays", [True, False])
async def test_photos_wait_for_a_media_folder_that_is_not_mounted(
    database, immich, connection, owner, mount_point_stays, monkeypatch
):
    assets = [await immich.upload(stubs.picture(number), owner=owner) for number in range(3)]
    media = immich.media.directory
    elsewhere = media.with_name("elsewhere")
    media.rename(elsewhere)
    if mount_point_stays:
        media.mkdir()
    looked = asyncio.Event()
    read, loop = images.read, asyncio.get_running_loop()
    looks = 0

    def counting(path, *, max_bytes):
        nonlocal looks
        looks += 1
        if looks >= 10:
            loop.call_soon_threadsafe(looked.set)
        return read(path, max_bytes=max_bytes)

    monkeypatch.setattr(images, "read", counting)
    async with working(settings_for(database, media, max_attempts=1)):
        await looked.wait()
        assert await failures(connection) == {}, "no photo's fault"
        if mount_point_stays:
            media.rmdir()
        elsewhere.rename(media)
        await idle(connection)
    for number, asset in enumerate(assets):
        assert await is_indexed(connection, asset, stubs.picture(number))


async def test_a_disk_that_does_not_answer_is_no_photos_fault(database, immich, connection, owner, monkeypatch, gate):
    asset = await immich.upload(stubs.picture(1), owner=owner)
    read = images.read

    def hanging(path, *, max_bytes):
        gate()
        return read(path, max_bytes=max_bytes)

    monkeypatch.setattr(images, "read", hanging)
    settings = settings_for(database, immich.media.directory, max_attempts=1, read_timeout_seconds=0.05)
    async with working(settings):
        await gate.reached()
        await eventually(lambda: connection.fetchval("SELECT bool_and(worker IS NULL) FROM immich_indexer.job"))
        assert await failures(connection) == {}
        gate.open()
        await eventually(lambda: is_indexed(connection, asset, stubs.picture(1)))


def let_go(pipe: Path, content: bytes) -> None:
    """Whoever waits for `content`, if anybody, gets it."""
    with contextlib.suppress(OSError):
        end = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        os.write(end, content)
        os.close(end)


async def test_files_that_stall_stop_neither_the_queue_nor_the_other_photos(database, immich, connection, owner):
    pictures = {await immich.upload(stubs.picture(number), owner=owner): stubs.picture(number) for number in range(60)}
    paths = await connection.fetch("""SELECT "assetId" AS asset, path FROM public.asset_file WHERE type = 'preview'""")
    stalled = {}
    for row in sorted(paths, key=lambda row: row["asset"])[:40]:  # claimed before the others
        stalled[row["asset"]] = path = immich.media.on_disk(row["path"])
        path.unlink()
        os.mkfifo(path)  # opening it to read blocks until somebody opens it to write
    async with working(settings_for(database, immich.media.directory, max_attempts=1, read_timeout_seconds=0.1)):
        for asset in pictures.keys() - stalled.keys():
            await eventually(lambda asset=asset: is_indexed(connection, asset, pictures[asset]))
        assert await failures(connection) == {}, "no photo's fault"
        for asset, path in stalled.items():
            pipe = path.rename(path.with_suffix(".stalled"))
            path.write_bytes(pictures[asset])  # the next look gets a file ...
            let_go(pipe, pictures[asset])  # ... and what hangs an end
        await idle(connection)
    for asset in stalled:
        assert await is_indexed(connection, asset, pictures[asset])


# In flight


@pytest.mark.parametrize("end", ["trash", "hide", "delete_for_good", "go_offline"])
async def test_a_photo_that_goes_while_it_is_in_flight_leaves_no_row(database, immich, connection, owner, gate, end):
    models = Models(StubClip(before=gate), StubOcr(), "cpu")
    async with working(settings_for(database, immich.media.directory), models):
        asset, other = [await immich.upload(stubs.picture(number), owner=owner) for number in (1, 2)]
        await gate.reached()
        await eventually(lambda: has_facts(connection, asset))
        await getattr(immich, end)(asset)
        gate.open()
        await idle(connection)
        assert await results_anywhere(connection, asset) == 0
        await eventually(lambda: has_no_facts(connection, asset))  # an idle queue says nothing of facts
        assert await is_indexed(connection, other, stubs.picture(2))
        come_back = {"trash": immich.restore, "hide": immich.unhide, "go_offline": immich.come_online}
        if end in come_back:
            await come_back[end](asset)
            await eventually(lambda: is_indexed(connection, asset, stubs.picture(1)))


async def test_a_preview_that_changes_in_flight_wins(database, immich, connection, owner, gate):
    models = Models(StubClip(before=gate), StubOcr(), "cpu")
    async with working(settings_for(database, immich.media.directory), models):
        asset = await immich.upload(stubs.picture(1), owner=owner)
        await gate.reached()
        await immich.generate_thumbnails(asset, stubs.picture(2))
        gate.open()
        await idle(connection)
        assert await is_indexed(connection, asset, stubs.picture(2))
    assert models.clip.calls == 2


async def test_a_photo_asked_for_again_in_flight_is_read_again(database, immich, connection, owner, gate):
    models = Models(StubClip(before=gate), StubOcr(), "cpu")
    async with working(settings_for(database, immich.media.directory), models):
        asset = await immich.upload(stubs.picture(1), owner=owner)
        await gate.reached()
        await connection.execute("SELECT immich_indexer.reprocess($1)", asset)
        gate.open()
        await idle(connection)
        assert await is_indexed(connection, asset, stubs.picture(1))
    assert models.clip.calls == models.ocr.calls == 2


# What models say


LONG = "长" * 50_000 + "文" * 50_000
TEXTS = {
    "NUL": (["before\0after"], ["beforeafter"], "before"),
    "lone surrogates": (["前\ud800后\udfff"], ["前后"], "前后"),
    "huge": ([LONG], [LONG], "长" * 40),
    "all different": (
        ["".join(map(chr, range(0x4E00, 0x9FA5))) * 5],
        ["".join(map(chr, range(0x4E00, 0x9FA5))) * 5],
        "乀乁乂乃",
    ),
    "punctuation": (["。，！？", "--- ... ---"], ["。，！？", "--- ... ---"], None),
    "a long word": (["x" * 5000 + "9"], ["x" * 5000 + "9"], "xxxxxx"),
    "a tsvector's own signs": (["a'b:1,2\\ c\"d & !e | f"], ["a'b:1,2\\ c\"d & !e | f"], "a'b"),
    "white": (["   "], ["   "], None),
    "nothing": ([], [], None),
}


async def test_any_text_is_stored_and_found(database, immich, connection, owner):
    said = {stubs.digest_of(rgb_of(number)): text for number, (text, _, _) in enumerate(TEXTS.values())}
    models = Models(StubClip(), StubOcr(say=lambda rgb: said[stubs.digest_of(rgb)]), "cpu")
    async with working(settings_for(database, immich.media.directory), models):
        assets = {name: await immich.upload(stubs.picture(n), owner=owner) for n, name in enumerate(TEXTS)}
        await eventually(lambda: connection.fetchval("SELECT count(digest) = $1 FROM immich_indexer.photo", len(TEXTS)))
        await idle(connection)
    assert await failures(connection) == {}
    for name, (_, stored, query) in TEXTS.items():
        assert await lines_of(connection, assets[name]) == stored, name
        if query is not None:
            found = await connection.fetch(
                "SELECT asset_id FROM immich_indexer.photo WHERE document @@ $1::text::tsquery", parse(query).literal
            )
            assert assets[name] in {row["asset_id"] for row in found}, name


def rgb_of(number: int) -> np.ndarray:
    return images.decode(stubs.picture(number), max_pixels=10**6).rgb


async def test_a_vector_that_is_no_number_fails_only_its_photo(database, immich, connection, owner):
    class Broken(StubClip):
        def encode_images(self, prepared):
            vectors = super().encode_images(prepared)
            for index, rgb in enumerate(prepared):
                if stubs.digest_of(rgb) == stubs.digest_of(rgb_of(3)):
                    vectors[index, 7] = np.nan
            return vectors

    async with working(
        settings_for(database, immich.media.directory, max_attempts=2), Models(hosted_clip(Broken()), StubOcr())
    ):
        assets = [await immich.upload(stubs.picture(number), owner=owner) for number in range(8)]
        await eventually(lambda: connection.fetchval("SELECT count(clip) = 7 FROM immich_indexer.photo"))
        await idle(connection)
    (failure,) = (await failures(connection)).values()
    assert (failure.asset_id, failure.dead) == (assets[3], True)
    assert failure.error == (
        f"no vector was made: the CLIP model answered with values that are not finite numbers, {PROVEN}"
    )
    assert await lines_of(connection, assets[3]) == [stubs.expected_text(3)]


async def waits(connection: Connection, asset: UUID, reason: str) -> bool:
    """Whether a photo waits through no fault of its own, for that reason, and no attempt of it counts."""
    job = await connection.fetchrow("SELECT * FROM immich_indexer.job WHERE asset_id = $1", asset)
    waiting = (await status.look(connection)).waiting
    return (
        job is not None
        and (job["dead"], job["attempts"], job["worker"]) == (False, 0, None)
        and any(reason in one.reason for one in waiting)
    )


async def is_given_up(connection: Connection, asset: UUID) -> Failure | None:
    failure = (await failures(connection)).get(asset)
    return failure if failure is not None and failure.dead else None


async def test_what_one_model_made_is_kept_when_the_other_fails(database, immich, connection, owner):
    """Only what failed is tried again, and given up with its reason; it is not taken for a result of a new preview."""
    broken = {stubs.digest_of(rgb_of(1))}

    def say(rgb):
        if stubs.digest_of(rgb) in broken:
            raise RuntimeError("out of order")
        return [stubs.text_of(rgb)]

    models = Models(StubClip(), hosted_ocr(StubOcr(say=say)))
    settings = settings_for(database, immich.media.directory, max_attempts=3)
    async with working(settings, models):
        asset = await immich.upload(stubs.picture(1), owner=owner)
        failure = await eventually(lambda: is_given_up(connection, asset))
        assert float(await vector_of(connection, asset) @ stubs.expected_vector(1)) > 0.9999
        assert await status.in_use(connection) is None, "nobody has read a photo with both"
        assert failure.error == f"the text was not read: RuntimeError: out of order, {PROVEN}"
        assert (failure.attempts, models.clip.calls) == (3, 1)

        broken.clear()
        assert await requests.retry(connection) == [asset]
        await eventually(lambda: is_indexed(connection, asset, stubs.picture(1)))
        assert models.clip.calls == 1

        broken.add(stubs.digest_of(rgb_of(2)))
        await immich.generate_thumbnails(asset, stubs.picture(2))
        await eventually(lambda: is_given_up(connection, asset))
        assert float(await vector_of(connection, asset) @ stubs.expected_vector(2)) > 0.9999
        kept = await connection.fetchrow(
            "SELECT clip_model, ocr_model FROM immich_indexer.photo WHERE asset_id = $1", asset
        )
        assert tuple(kept) == ("stub clip", None), "the lines are those of the preview before"
        assert models.clip.calls == 2

        broken.clear()
        await requests.retry(connection)
        await eventually(lambda: is_indexed(connection, asset, stubs.picture(2)))
        assert models.clip.calls == 2


async def test_what_was_given_up_in_part_follows_a_change_of_the_other_model(database, immich, connection, owner):
    def say(rgb):
        if stubs.digest_of(rgb) == stubs.digest_of(rgb_of(1)):
            raise RuntimeError("out of order")
        return [stubs.text_of(rgb)]

    asset = await immich.upload(stubs.picture(1), owner=owner)

    async def made(kind: int) -> bool:
        vector = await vector_of(connection, asset)
        mine = vector is not None and float(vector @ stubs.vector_of(rgb_of(1), kind=kind)) > 0.9999
        return mine and bool(await is_given_up(connection, asset))

    for clip, kind in (("stub clip", 0), ("a newer clip", 1), ("a newer clip", 1)):
        models = Models(StubClip(clip, kind=kind), hosted_ocr(StubOcr(say=say)))
        settings = settings_for(database, immich.media.directory, max_attempts=1)
        pace = replace(QUICK, turn=0.1, turn_grace=0)
        async with working(settings, models, pace=pace, open_clip=lambda _: StubClip("stub clip")):
            await eventually(lambda kind=kind: made(kind))
            await idle(connection)
            async with pool_of(database) as pool:
                names = models.clip.name, models.ocr.name
                assert await Reconciler(pool, database, *names).enqueue_missing() == 0, "that was given up"
    assert models.clip.calls == 0, "it has that vector"


async def test_photos_that_fail_do_not_empty_the_pipeline(database, immich, connection, owner, gate):
    """One photo takes its time; files that cannot be read are tried and given up meanwhile."""
    models = Models(StubClip(before=gate), StubOcr(), "cpu")
    async with working(settings_for(database, immich.media.directory, max_attempts=3), models):
        slow = await immich.upload(stubs.picture(1), owner=owner)
        await gate.reached()
        bad = [await immich.upload(b"no picture %d" % number, owner=owner) for number in range(5)]

        async def all_given_up() -> bool:
            found = await failures(connection)
            return all(asset in found and found[asset].dead for asset in bad)

        await eventually(all_given_up)
        assert not await is_indexed(connection, slow, stubs.picture(1))
        gate.open()
        await eventually(lambda: is_indexed(connection, slow, stubs.picture(1)))


async def test_a_model_that_raises_anything_is_quoted(database, immich, connection, owner):
    def say(rgb):
        if stubs.digest_of(rgb) == stubs.digest_of(rgb_of(1)):
            raise RuntimeError("NUL \0 and half a surrogate \ud800 in an error")
        return [stubs.text_of(rgb)]

    models = Models(StubClip(), hosted_ocr(StubOcr(say=say)))
    async with working(settings_for(database, immich.media.directory, max_attempts=2), models):
        asset = await immich.upload(stubs.picture(1), owner=owner)
        assert "half a surrogate" in (await eventually(lambda: is_given_up(connection, asset))).error


class OutOfMemoryError(RuntimeError):
    """As torch's own, which is one too."""


async def test_a_batch_that_does_not_fit_into_memory_is_parted(database, immich, connection, owner):
    largest = 0

    class Cramped(StubClip):
        def encode_images(self, prepared):
            nonlocal largest
            largest = max(largest, len(prepared))
            if len(prepared) > 1:
                raise OutOfMemoryError("CUDA out of memory")
            return super().encode_images(prepared)

    assets = [await immich.upload(stubs.picture(number), owner=owner) for number in range(16)]
    models = Models(Cramped(), StubOcr(), "cpu")
    async with working(settings_for(database, immich.media.directory, max_attempts=1), models):
        await eventually(lambda: connection.fetchval("SELECT count(digest) = 16 FROM immich_indexer.photo"))
        await idle(connection)
    assert largest > 1
    assert await failures(connection) == {}
    for number, asset in enumerate(assets):
        assert await is_indexed(connection, asset, stubs.picture(number))


# Immich changes its columns, holds locks, writes at the same time


@pytest.mark.parametrize("width", [512, 1536])
async def test_a_vector_column_that_changes_in_flight(database, immich, connection, owner, gate, width):
    models = Models(StubClip(before=gate), StubOcr(), "cpu")
    async with working(settings_for(database, immich.media.directory, max_attempts=1), models):
        asset = await immich.upload(stubs.picture(1), owner=owner)
        await gate.reached()
        await immich.change_clip_model(width)
        gate.open()
        await eventually(lambda: is_indexed(connection, asset, stubs.picture(1)))
        assert (await vector_of(connection, asset)).shape == (width,)
        await idle(connection)
    assert await failures(connection) == {}


@pytest.mark.parametrize("width", [512, 1536])
async def test_vectors_that_immich_empties_are_there_again_at_once(database, immich, connection, owner, width):
    """At a change of its CLIP model it queues nothing, and until somebody fills them no search finds anything."""
    read = [0]

    def count() -> None:
        read[0] += 1

    models = Models(StubClip(before=count), StubOcr(), "cpu")
    async with working(settings_for(database, immich.media.directory), models):
        photos = [await immich.upload(stubs.picture(number), owner=owner) for number in range(3)]
        await idle(connection)
        before = read[0]
        await immich.change_clip_model(width)
        filled = f"SELECT count(*) = {len(photos)} FROM smart_search WHERE vector_dims(embedding) = {width}"
        await eventually(lambda: connection.fetchval(filled))
    assert read[0] == before, "from our own copy, without reading a photo"


async def test_a_vector_column_that_is_half_changed(database, immich, connection, owner, gate, monkeypatch):
    """Between Immich's two transactions a CHECK demands the new width of a column that still has the old one."""
    tried = asyncio.Event()
    write = results.write

    async def watched(*arguments):
        try:
            return await write(*arguments)
        except asyncpg.CheckViolationError:
            tried.set()
            raise

    monkeypatch.setattr(results, "write", watched)
    models = Models(StubClip(before=gate), StubOcr(), "cpu")
    async with working(settings_for(database, immich.media.directory), models):
        asset = await immich.upload(stubs.picture(1), owner=owner)
        await gate.reached()
        async with immich.clip_model_change(1024):
            gate.open()
            await tried.wait()
        await eventually(lambda: is_indexed(connection, asset, stubs.picture(1)))
        assert (await vector_of(connection, asset)).shape == (1024,)


async def test_a_vector_for_which_the_column_became_too_narrow_is_kept(database, immich, connection, owner, gate):
    await immich.change_clip_model(768)
    models = Models(StubClip(dimensions=768, before=gate), None, "cpu")
    settings = settings_for(database, immich.media.directory, max_attempts=1)
    async with workers.working(settings, models, pace=WorkerPace(vectors=3600)):
        asset = await immich.upload(stubs.picture(1), owner=owner)
        await gate.reached()
        await immich.change_clip_model(512)
        gate.open()
        await eventually(lambda: connection.fetchval("SELECT clip IS NOT NULL FROM immich_indexer.photo"))
        assert await failures(connection) == {}, "no photo's fault"
        assert await vector_of(connection, asset) is None
    await immich.change_clip_model(1024)
    clip = StubClip(dimensions=768)

    async def wide() -> bool:
        vector = await vector_of(connection, asset)
        return vector is not None and vector.shape == (1024,)

    async with working(settings, Models(clip, None, "cpu")):
        await eventually(wide)
    assert clip.calls == 0, "it is not read again"


async def test_immich_has_the_right_of_way(database, immich, immich_url, connection, owner):
    """While Immich holds locks on a photo's rows we try again and again, and whatever we hold meanwhile we let go."""
    async with working(settings_for(database, immich.media.directory)):
        uploaded = [await immich.upload(stubs.picture(number), owner=owner) for number in range(4)]
        await idle(connection)
        numbers = {asset: number for number, asset in enumerate(uploaded)}
        *free, locked = sorted(uploaded)  # locks are taken in id order: those of the others come first
        holder = await asyncpg.connect(immich_url)
        other = await asyncpg.connect(immich_url)
        await other.execute("SET lock_timeout = '5s'")  # ours is under a second
        async with holder.transaction():
            await holder.execute('UPDATE smart_search SET embedding = embedding WHERE "assetId" = $1', locked)
            await holder.execute('UPDATE asset_ocr SET text = text WHERE "assetId" = $1', locked)
            for asset in uploaded:
                await immich.generate_thumbnails(asset, stubs.picture(numbers[asset] + 100))
            for _ in range(20):
                for asset in free:
                    await other.execute('UPDATE smart_search SET embedding = embedding WHERE "assetId" = $1', asset)
                    await other.execute('UPDATE asset_ocr SET text = text WHERE "assetId" = $1', asset)
            assert await lines_of(connection, locked) == [stubs.expected_text(numbers[locked])]
        for asset in uploaded:
            await eventually(lambda asset=asset: is_indexed(connection, asset, stubs.picture(numbers[asset] + 100)))
        await holder.close()
        await other.close()


@pytest.mark.parametrize("heartbeat", ["frozen", "well"])
async def test_a_worker_that_freezes_in_the_middle_of_a_write_lets_go(
    database, immich, connection, owner, monkeypatch, heartbeat
):
    """Its transaction is open and its line dead: the server has to end it, or Immich would wait for ever.

    Where the heartbeat has a line that lives, as when only one died, nobody but the writer can tell.
    """
    pace = QUICK
    if heartbeat == "well":
        pace = replace(QUICK, patience=1)
        monkeypatch.setattr("indexer.queue.claims.Queue.heartbeat", lambda *_: asyncio.sleep(0, True))
    monkeypatch.setattr("indexer.database.pool.IDLE_TIMEOUT", "500ms")
    apply = results.apply
    frozen = asyncio.Event()

    async def freezing(*arguments, **options):
        applied = await apply(*arguments, **options)
        if not frozen.is_set():
            proxy.freeze()
            frozen.set()
        return applied

    monkeypatch.setattr(results, "apply", freezing)
    async with Proxy(database) as proxy, working(settings_for(proxy.url, immich.media.directory), pace=pace):
        asset = await immich.upload(stubs.picture(1), owner=owner)
        await frozen.wait()
        await immich.immich_clip_job(asset, [1.0] + [0.0] * 511)
        await immich.immich_ocr_job(asset, THEIRS)
        await immich.generate_thumbnails(asset, stubs.picture(2))
        await eventually(lambda: is_indexed(connection, asset, stubs.picture(2)))


@contextlib.asynccontextmanager
async def pool_of(url: str, patience: float = PATIENCE) -> AsyncIterator[Pool]:
    pool = await open_pool(url, patience=patience)
    try:
        yield pool
    finally:
        pool.terminate()


async def test_who_freezes_while_reconciling_gives_way(database, connection, immich):
    """And who only takes long does not."""
    pace = replace(QUICK, turn_lost=1, turn_beat=0.05)
    await install(database)
    at_it = asyncio.Event()

    class Slow(Reconciler):
        async def _compare(self, *, thorough: bool, missed: bool) -> Repairs:
            at_it.set()
            await asyncio.Event().wait()
            raise AssertionError("nobody sets it")

    async with Proxy(database) as proxy, pool_of(database) as pool:
        slow = asyncio.create_task(Slow(pool, proxy.url, None, None, pace=pace).round(thorough=False))
        await at_it.wait()
        other = Reconciler(pool, database, None, None)
        start = await connection.fetchval("SELECT clock_timestamp()")

        async def beaten_for_long() -> bool:
            last = await connection.fetchval("SELECT max(state_change) FROM pg_stat_activity WHERE query = 'SELECT 1'")
            return last is not None and last - start > timedelta(seconds=2)

        await eventually(beaten_for_long)
        assert await other.round(thorough=False) is None
        proxy.freeze()

        async def taken_over() -> bool:
            return await other.round(thorough=False) is not None

        await eventually(taken_over)
        slow.cancel()
        await asyncio.wait([slow])


async def test_reconciling_over_a_dead_line_is_tried_over_another(database, immich):
    await install(database)
    async with Proxy(database) as proxy, pool_of(proxy.url, patience=0.3) as pool:
        reconciler = Reconciler(pool, database, None, None)
        assert await reconciler.round(thorough=True) is not None
        proxy.freeze()
        with pytest.raises(TimeoutError):
            await reconciler.round(thorough=True)
        assert await reconciler.round(thorough=True) is not None


@pytest.mark.parametrize("call", ["execute", "fetchval"])
async def test_whose_turn_it_is_is_not_asked_for_ever_over_a_dead_line(database, monkeypatch, call):
    await install(database)
    connect = reconcile.connect

    async def dying(dsn):
        connection = await connect(dsn)
        if call == "fetchval":
            await connection.execute("SELECT 1")
        proxy.freeze()
        return connection

    monkeypatch.setattr(reconcile, "connect", dying)
    async with Proxy(database) as proxy, pool_of(database, patience=0.3) as pool:
        with pytest.raises(TimeoutError):
            await Reconciler(pool, proxy.url, None, None).round(thorough=True)


def install_over_a_line_that_dies(monkeypatch, proxy: Proxy) -> None:
    """The first time; later ones go well."""
    install_schema, died = schema.install, False

    async def dying(connection):
        nonlocal died
        if not died:
            died = True
            proxy.freeze()
        return await install_schema(connection)

    monkeypatch.setattr(schema, "install", dying)


async def test_the_schema_is_not_mended_for_ever_over_a_dead_line(database, monkeypatch):
    monkeypatch.setattr("indexer.work.reconcile.INSTALLING", 0.3)
    async with Proxy(database) as proxy, pool_of(database) as pool:
        install_over_a_line_that_dies(monkeypatch, proxy)
        reconciler = Reconciler(pool, proxy.url, None, None)
        with pytest.raises(TimeoutError):
            await reconciler.round(thorough=True)
        monkeypatch.setattr("indexer.work.reconcile.INSTALLING", 60)
        assert await reconciler.round(thorough=True) is not None


async def test_a_line_that_dies_at_the_start_is_replaced(database, immich, connection, owner, monkeypatch):
    await install(database)  # so that all that is left to do takes no time
    monkeypatch.setattr("indexer.work.worker.INSTALLING", 2)
    async with Proxy(database) as proxy:
        install_over_a_line_that_dies(monkeypatch, proxy)
        async with working(settings_for(proxy.url, immich.media.directory)):
            asset = await immich.upload(stubs.picture(1), owner=owner)
            await eventually(lambda: is_indexed(connection, asset, stubs.picture(1)))


THEIRS = [OcrLine("一行别人的字"), OcrLine("又一行", box=(0.1, 0.5, 0.9, 0.5, 0.9, 0.6, 0.1, 0.6))]


async def test_immichs_own_jobs_race_us_and_in_the_end_every_column_is_ours(database, immich, connection, owner):
    """Immich asks for the same photo at the same moment, and writes whenever it pleases."""
    chance = random.Random(5)
    photos = 300

    async def immichs_jobs(asset: UUID) -> None:
        jobs = [
            immich.immich_clip_job(asset, [1.0] + [0.0] * 511),
            immich.immich_ocr_job(asset, THEIRS),
            immich.immich_faces_job(asset),
        ]
        chance.shuffle(jobs)
        for job in jobs:
            await asyncio.sleep(chance.random() * 0.05)
            await job

    settings = settings_for(database, immich.media.directory, reconcile_seconds=0.3)
    async with working(settings, Models(StubClip(), StubOcr(), "cpu")) as worker, asyncio.TaskGroup() as group:
        assets = []
        for number in range(photos):
            assets.append(await immich.upload(stubs.picture(number), owner=owner))
            group.create_task(immichs_jobs(assets[-1]))
    del worker
    async with working(settings_for(database, immich.media.directory)):  # its first round compares vectors, too

        async def all_ours() -> bool:
            rows = await connection.fetch(
                """SELECT a.id, s.embedding::text AS vector, t.text, array(
                       SELECT o.text FROM asset_ocr o WHERE o."assetId" = a.id) AS lines
                   FROM asset a LEFT JOIN smart_search s ON s."assetId" = a.id
                   LEFT JOIN ocr_search t ON t."assetId" = a.id"""
            )
            found = {row["id"]: row for row in rows}
            for number, asset in enumerate(assets):
                text = stubs.expected_text(number)
                row = found[asset]
                if row["vector"] is None or row["lines"] != [text] or row["text"] != immich_text.search_text([text]):
                    return False
                if Vector.from_text(row["vector"]).to_numpy() @ stubs.expected_vector(number) < 0.9999:
                    return False
            return True

        await eventually(all_ours, seconds=60)
        await idle(connection)


async def test_lines_are_never_doubled_for_long(database, immich, connection, owner):
    """Immich's OCR write overlaps ours: each deletes what it saw, and both insert. Many rounds at the same moment."""
    async with working(settings_for(database, immich.media.directory)):
        assets = [await immich.upload(stubs.picture(number), owner=owner) for number in range(10)]
        await idle(connection)
        for round_ in range(10):
            changes = [
                immich.generate_thumbnails(asset, stubs.picture(100 + 10 * round_ + number))
                for number, asset in enumerate(assets)
            ]
            jobs = [immich.immich_ocr_job(asset, THEIRS) for asset in assets]
            await asyncio.gather(*(write for pair in zip(changes, jobs, strict=True) for write in pair))
        for number, asset in enumerate(assets):
            await eventually(
                lambda asset=asset, number=number: is_indexed(connection, asset, stubs.picture(190 + number))
            )
        await idle(connection)
        for number, asset in enumerate(assets):
            assert await is_indexed(connection, asset, stubs.picture(190 + number))


# Several at work, and the server itself


async def test_two_workers_share_the_work(database, immich, connection, owner):
    models = [Models(StubClip(), StubOcr(), "cpu") for _ in range(2)]
    settings = settings_for(database, immich.media.directory)
    photos = 120
    async with working(settings, models[0]), working(settings, models[1]):
        assets = [await immich.upload(stubs.picture(number), owner=owner) for number in range(photos)]
        await eventually(lambda: connection.fetchval("SELECT count(digest) = $1 FROM immich_indexer.photo", photos))
        await idle(connection)
    for number, asset in enumerate(assets):
        assert await is_indexed(connection, asset, stubs.picture(number))
    calls = [model.clip.calls for model in models]
    assert sum(calls) == photos, "nothing was done twice"
    assert all(calls), "both had something to do"


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_server_that_restarts_under_the_work(own_immich, private_server, mode):
    url, immich = own_immich
    owner = await immich.create_user("ann")
    models = Models(StubClip(), StubOcr(), "cpu")
    async with working(settings_for(url, immich.media.directory), models):
        assets = [await immich.upload(stubs.picture(number), owner=owner) for number in range(30)]
        await asyncio.to_thread(private_server.restart, mode)
        await immich.database.expire_connections()
        assets += [await immich.upload(stubs.picture(number), owner=owner) for number in range(30, 40)]
        connection = await asyncpg.connect(url)
        await eventually(lambda: connection.fetchval("SELECT count(digest) = 40 FROM immich_indexer.photo"))
        await idle(connection)
        for number, asset in enumerate(assets):
            assert await is_indexed(connection, asset, stubs.picture(number))
        assert await failures(connection) == {}
        await connection.close()


async def test_a_server_that_is_away_at_the_start_is_waited_for(own_immich, private_server):
    url, immich = own_immich
    asset = await immich.upload(stubs.picture(1), owner=await immich.create_user("ann"))
    await immich.database.expire_connections()
    await asyncio.to_thread(private_server.stop)

    async def comes_back() -> None:
        await asyncio.to_thread(private_server.start)

    async with asyncio.TaskGroup() as group:
        group.create_task(comes_back())
        async with working(settings_for(url, immich.media.directory)):
            connection = await asyncpg.connect(url)
            await eventually(lambda: is_indexed(connection, asset, stubs.picture(1)))
            await connection.close()
