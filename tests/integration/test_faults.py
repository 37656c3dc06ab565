"""A machine that breaks: no photo is given up for it, each half that can be made is written, and it all heals.

One photo that is really to blame is given up all the same, alone.
"""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from uuid import UUID

import asyncpg
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from structlog.testing import capture_logs

from indexer import images
from indexer.cli.main import main
from indexer.demo.immich import StandIn
from indexer.models.engines.states import PROVEN, Phase
from indexer.queue import backlog
from indexer.views import status
from indexer.work import verdicts
from indexer.work.worker import Models
from tests.support import stubs, workers
from tests.support.hosts import QUICK, hosted_clip, hosted_ocr
from tests.support.installs import install
from tests.support.stubs import StubClip, StubOcr
from tests.support.workers import eventually, failures, idle, is_indexed, settings_for

PHOTOS = 52

working = partial(workers.working, pace=workers.QUICK)


class Fault:
    """What an engine does to the pictures it is given, while it is `broken`. Counts its calls."""

    def __init__(self, does: Callable[[int, bytes], None]) -> None:
        self.broken = True
        self.calls = 0
        self._does = does
        self._lock = threading.Lock()

    def __call__(self, pictures: list[np.ndarray]) -> None:
        for rgb in pictures:
            with self._lock:
                self.calls += 1
                call = self.calls
            if self.broken:
                self._does(call, stubs.digest_of(rgb))


class Clip(StubClip):
    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault

    def encode_images(self, prepared):
        self.fault(prepared)
        return super().encode_images(prepared)


class Ocr(StubOcr):
    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault

    def recognise(self, detections):
        self.fault([detection.crops[0] for detection in detections])
        return super().recognise(detections)


def hosted(clip: StubClip, ocr: StubOcr) -> Models:
    """Both looked after, in this process."""
    return Models(hosted_clip(clip), hosted_ocr(ocr))


def engine(kind: str, fault: Fault) -> Models:
    return hosted(*((Clip(fault), StubOcr()) if kind == "clip" else (StubClip(), Ocr(fault))))


def from_the_ninth_on(call: int, _: bytes) -> None:
    if call >= 9:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


def every_third(call: int, _: bytes) -> None:
    if call % 3 == 0:
        raise MemoryError


def once_or_twice() -> Callable[[int, bytes], None]:
    """Each picture that its digest chooses, the first two times."""
    seen: dict[bytes, int] = {}

    def does(_: int, digest: bytes) -> None:
        seen[digest] = seen.get(digest, 0) + 1
        if digest[0] % 4 == 0 and seen[digest] <= 2:
            raise RuntimeError("can't start new thread")

    return does


async def uploaded(immich: StandIn, owner: UUID, photos: int = PHOTOS) -> list[UUID]:
    return [await immich.upload(stubs.picture(number), owner=owner) for number in range(photos)]


async def all_read(connection: asyncpg.Connection, assets: list[UUID]) -> None:
    count = "SELECT count(digest) = $1 FROM immich_indexer.photo"
    await eventually(lambda: connection.fetchval(count, len(assets)), seconds=40)
    await idle(connection, seconds=40)
    for number, asset in enumerate(assets):
        assert await is_indexed(connection, asset, stubs.picture(number)), number
    assert await failures(connection) == {}


async def nothing_counted(connection: asyncpg.Connection) -> bool:
    """No attempt of a photo that nobody holds now counts, and none is given up."""
    return not await connection.fetchval(
        "SELECT EXISTS (SELECT FROM immich_indexer.job WHERE dead OR attempts > (worker IS NOT NULL)::int)"
    )


MADE = {"clip": "clip IS NOT NULL", "ocr": "ocr_model IS NOT NULL"}


@pytest.mark.parametrize("kind", ["clip", "ocr"])
async def test_an_engine_that_fails_for_all(database, immich, connection, owner, kind):
    """As after a CUDA error: nothing is given up, what the other engine made is there, and it is asked ever less."""
    fault = Fault(from_the_ninth_on)
    other = MADE["ocr" if kind == "clip" else "clip"]
    assets = await uploaded(immich, owner)
    models = engine(kind, fault)
    settings = settings_for(database, immich.media.directory, max_attempts=1)
    async with working(settings, models):
        made = f"SELECT count(digest) = {PHOTOS} FROM immich_indexer.photo WHERE {other}"
        await eventually(lambda: connection.fetchval(made))
        calls = fault.calls
        await eventually(lambda: asyncio.sleep(0, fault.calls > calls + 3))  # it is tried again and again
        assert await nothing_counted(connection)
        waiting = (await status.look(connection)).waiting
        assert sum(one.photos for one in waiting) >= PHOTOS - 16, "all but those read before it broke"
        assert "illegal memory access" in waiting[0].reason
        state = models.engines[kind].state
        assert state.phase is Phase.SICK
        assert "illegal memory access" in state.reason
        assert models.engines["ocr" if kind == "clip" else "clip"].state.is_ready
        fault.broken = False
        await all_read(connection, assets)
        assert models.engines[kind].state.is_ready


@pytest.mark.parametrize("kind", ["clip", "ocr"])
@pytest.mark.parametrize("does", [every_third, "at random"], ids=["every third call", "at random"])
async def test_an_engine_that_fails_now_and_then(database, immich, connection, owner, kind, does):
    fault = Fault(once_or_twice() if does == "at random" else does)
    assets = await uploaded(immich, owner)
    async with working(settings_for(database, immich.media.directory, max_attempts=4), engine(kind, fault)):
        await eventually(lambda: connection.fetchval(f"SELECT count(digest) = {PHOTOS} FROM immich_indexer.photo"))
        await all_read(connection, assets)


@pytest.mark.parametrize("answer", ["no number", "another size"])
async def test_answers_that_cannot_be(database, immich, connection, owner, answer):
    broken = True

    class Rubbish(StubClip):
        def encode_images(self, prepared):
            vectors = super().encode_images(prepared)
            if broken:
                return vectors * np.nan if answer == "no number" else vectors[:, :100]
            return vectors

    assets = await uploaded(immich, owner, 12)
    settings = settings_for(database, immich.media.directory, max_attempts=1)
    async with working(settings, hosted(Rubbish(), StubOcr())):
        await eventually(lambda: connection.fetchval("SELECT count(digest) = 12 FROM immich_indexer.photo"))
        await eventually(lambda: waits(connection, "the CLIP model answered with"))
        assert await connection.fetchval("SELECT count(*) FROM smart_search") == 0
        assert await nothing_counted(connection)
        broken = False
        await all_read(connection, assets)


@pytest.mark.parametrize("kind", ["clip", "ocr"])
async def test_nothing_is_written_of_an_engine_found_sick_after_it_answered(database, immich, connection, owner, kind):
    """It answers wrongly, and that is found while the other engine is still at the same photo."""
    broken, late = threading.Event(), threading.Event()

    class Clip(StubClip):
        def encode_images(self, prepared):
            vectors = super().encode_images(prepared)
            if kind == "ocr" and prepared[0].shape == (8, 8, 3):  # a photo, not the probe
                assert late.wait(20)
            return np.roll(vectors, 7, axis=1) if kind == "clip" and broken.is_set() else vectors

    class Ocr(StubOcr):
        def recognise(self, detections):
            if kind == "clip" and detections[0].crops[0].shape == (8, 8, 3):
                assert late.wait(20)
            lines = super().recognise(detections)
            wrong = kind == "ocr" and broken.is_set()
            return [[replace(line, text="口") for line in each] for each in lines] if wrong else lines

    models = hosted(Clip(), Ocr())
    settings = settings_for(database, immich.media.directory, max_attempts=1)
    async with working(settings, models):
        broken.set()
        asset = await immich.upload(stubs.picture(1), owner=owner)
        await eventually(lambda: asyncio.sleep(0, models.engines[kind].replaced))
        broken.clear()
        late.set()
        await eventually(lambda: is_indexed(connection, asset, stubs.picture(1)))
        await idle(connection)
        assert await is_indexed(connection, asset, stubs.picture(1))


async def test_lines_that_are_nowhere_are_no_photos_fault(database, immich, connection, owner):
    broken = True

    class Nowhere(StubOcr):
        def recognise(self, detections):
            read = super().recognise(detections)
            if broken:
                return [[line.__class__(line.text, (np.nan,) * 8, 0.9, 0.9) for line in lines] for lines in read]
            return read

    assets = await uploaded(immich, owner, 6)
    settings = settings_for(database, immich.media.directory, max_attempts=1)
    async with working(settings, hosted(StubClip(), Nowhere())):
        await eventually(lambda: waits(connection, "the OCR engine answered with values that are not finite numbers"))
        assert await nothing_counted(connection)
        broken = False
        await all_read(connection, assets)


async def waits(connection: asyncpg.Connection, reason: str) -> bool:
    return any(reason in one.reason for one in (await status.look(connection)).waiting)


@pytest.mark.parametrize(
    "error",
    [MemoryError(), OSError(12, "Cannot allocate memory"), RuntimeError("can't start new thread")],
    ids=repr,
)
async def test_pictures_that_cannot_be_decoded_for_now(database, immich, connection, owner, monkeypatch, error):
    decode, broken = images.decode, True

    def failing(data, *, max_pixels):
        if broken:
            raise error
        return decode(data, max_pixels=max_pixels)

    monkeypatch.setattr(images, "decode", failing)
    assets = await uploaded(immich, owner, 12)
    async with working(settings_for(database, immich.media.directory, max_attempts=1)):
        await eventually(lambda: waits(connection, type(error).__name__))
        assert await nothing_counted(connection)
        broken = False
        await all_read(connection, assets)


@pytest.mark.parametrize("number", [13, 24, 5], ids=["no right", "open files", "disk"])
async def test_previews_that_nobody_can_read_for_now(database, immich, connection, owner, monkeypatch, number):
    broken, read = True, images.read

    def failing(path, *, max_bytes):
        if broken:
            raise OSError(number, "no")
        return read(path, max_bytes=max_bytes)

    monkeypatch.setattr(images, "read", failing)
    assets = await uploaded(immich, owner, 12)
    async with working(settings_for(database, immich.media.directory, max_attempts=1)):
        await eventually(lambda: waits(connection, "preview unreadable"))
        assert await nothing_counted(connection)
        broken = False
        await all_read(connection, assets)


@pytest.mark.parametrize("kind", ["clip", "ocr"])
async def test_poison_is_given_up_alone(database, immich, connection, owner, kind):
    """A picture that its engine fails on, again and again, and one that is no picture, among 52 good ones."""
    poison = stubs.digest_of(images.decode(stubs.picture(20), max_pixels=10**6).rgb)

    def does(_: int, digest: bytes) -> None:
        if digest == poison:
            raise RuntimeError("a shape that it cannot take")

    attempts: list[int] = []
    assets = await uploaded(immich, owner)
    torn = await immich.upload(b"no picture", owner=owner)
    settings = settings_for(database, immich.media.directory, max_attempts=2)
    async with working(settings, engine(kind, Fault(does))):

        async def both_dead() -> bool:
            attempts.append(
                await connection.fetchval(
                    "SELECT count(*) FROM immich_indexer.job"
                    " WHERE attempts > (worker IS NOT NULL)::int AND asset_id <> ALL ($1::uuid[])",
                    [assets[20], torn],
                )
            )
            return sum(failure.dead for failure in (await failures(connection)).values()) == 2

        await eventually(both_dead)
        await idle(connection)
    assert set(attempts) == {0}
    found = await failures(connection)
    assert set(found) == {assets[20], torn}
    assert "a shape that it cannot take" in found[assets[20]].error
    assert found[assets[20]].error.endswith(PROVEN)
    assert "not a readable picture" in found[torn].error
    for number, asset in enumerate(assets):
        if number != 20:
            assert await is_indexed(connection, asset, stubs.picture(number)), number


async def test_what_was_given_up_by_mistake_is_found(database, immich, connection, owner, monkeypatch):
    """By an earlier version, which charged photos with whatever happened."""
    await install(database)
    reasons = {
        "no vector was made: RuntimeError: CUDA error: an illegal memory access was encountered": True,
        "cannot write the results: ReadOnlySQLTransactionError: cannot execute UPDATE in a read-only transaction": True,
        "preview unreadable: /data/a.jpeg: Too many open files": True,
        "not a readable picture: it is cut short": False,
        f"the text was not read: RuntimeError: odd, {verdicts.PROVEN}": False,
    }
    assets = await uploaded(immich, owner, len(reasons))
    await connection.execute("TRUNCATE immich_indexer.inbox")
    await connection.executemany(
        "INSERT INTO immich_indexer.job (asset_id, tasks, priority, attempts, dead, error, failed_at)"
        " VALUES ($1, '{clip,ocr}', 10, 4, true, $2, now())",
        list(zip(assets, reasons, strict=True)),
    )
    monkeypatch.setenv("DB_URL", database)
    run = CliRunner().invoke
    said = await asyncio.to_thread(run, main, ["retry", "--machine", str(assets[3])])
    assert (said.exit_code, said.stdout) == (0, "0 photos will be tried again\n"), said.output
    said = await asyncio.to_thread(run, main, ["retry", "--machine"])
    assert (said.exit_code, said.stdout) == (0, "3 photos will be tried again\n"), said.output
    left = await backlog.given_up(connection)
    assert left == {
        asset: reason for asset, (reason, machines) in zip(assets, reasons.items(), strict=True) if not machines
    }


# The database


@asynccontextmanager
async def told() -> AsyncIterator[list[dict]]:
    """What is said in the log."""
    with capture_logs() as lines:
        yield lines


def waited(lines: list[dict]) -> list[dict]:
    return [line for line in lines if line["event"] == "waiting for the database"]


async def goes_on_in_the_end(lines: list[dict], connection: asyncpg.Connection, assets: list[UUID]) -> None:
    await all_read(connection, assets)
    await eventually(
        lambda: asyncio.sleep(0, any(line["event"] == "no longer waiting for the database" for line in lines))
    )
    assert not [line for line in lines if "exc_info" in line or "exception" in line], "no traceback"


async def test_a_database_that_is_read_only_for_a_while(own_immich):
    """As after a fail-over: before the indexer starts, and while it works."""
    url, immich = own_immich
    assets = await uploaded(immich, await immich.create_user("ann"), 12)
    await install(url)
    connection = await asyncpg.connect(url, server_settings={"default_transaction_read_only": "off"})

    async def read_only(value: str) -> None:
        await connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        await connection.execute("SELECT pg_reload_conf()")

    await read_only("on")
    probe = await asyncpg.connect(url)
    await eventually(lambda: probe.fetchval("SELECT current_setting('transaction_read_only') = 'on'"))
    await probe.close()
    await immich.database.expire_connections()
    async with told() as lines, asyncio.TaskGroup() as group:

        async def later() -> None:
            await eventually(lambda: asyncio.sleep(0, waited(lines)))
            await read_only("off")

        group.create_task(later())
        async with working(settings_for(url, immich.media.directory, max_attempts=1, lease_seconds=60)) as worker:
            await all_read(connection, assets)
            lines.clear()
            await immich.database.expire_connections()
            more = [
                await immich.upload(stubs.picture(number), owner=await immich.create_user(f"u{number}"))
                for number in (12, 13)
            ]
            await read_only("on")
            await eventually(lambda: asyncio.sleep(0, waited(lines)))
            assert "may not be written to" in waited(lines)[0]["reason"]
            await connection.execute("UPDATE immich_indexer.job SET not_before = now()")
            await read_only("off")
            await goes_on_in_the_end(lines, connection, assets + more)
            assert worker.pipeline is not None
    await connection.close()


async def test_a_database_in_recovery(own_immich, private_server):
    """A standby that is promoted after a while; it refuses LISTEN, too."""
    url, immich = own_immich
    assets = await uploaded(immich, await immich.create_user("ann"), 8)
    await immich.database.expire_connections()
    async with told() as lines, working(settings_for(url, immich.media.directory, max_attempts=1)):
        connection = await asyncpg.connect(url)
        await all_read(connection, assets)
        await connection.execute("SELECT immich_indexer.reprocess_all(ARRAY(SELECT id FROM asset))")
        await connection.close()
        await asyncio.to_thread(private_server.stop)
        (private_server.data / "standby.signal").touch(mode=0o666)
        await asyncio.to_thread(private_server.start)
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("SELECT pg_is_in_recovery()")

        def told_of(event: str, reason: str) -> bool:
            return any(line["event"].startswith(event) and reason in str(line) for line in lines)

        await eventually(lambda: asyncio.sleep(0, told_of("waiting for the database", "may not be written to")))
        await eventually(lambda: asyncio.sleep(0, told_of("cannot listen", "")))
        await connection.execute("SELECT pg_promote()")
        await goes_on_in_the_end(lines, connection, assets)
        await connection.close()


RAISES = """
    CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '{state}'; END $$;
    CREATE TRIGGER fails BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION fails()
"""
HEALS = "DROP TRIGGER fails ON {table}; DROP FUNCTION fails()"


@pytest.mark.parametrize(
    ("state", "table"),
    [
        ("58030", "immich_indexer.photo"),
        ("53100", "smart_search"),
        ("53100", "immich_indexer.job"),
        ("57014", "immich_indexer.job"),
        ("ZZ001", "immich_indexer.photo"),
    ],
)
async def test_a_database_that_cannot_write(database, immich, connection, owner, table, state):
    """An I/O error, a full disk, no memory, a statement that was ended, something that nobody has heard of."""
    await install(database)
    await connection.execute(RAISES.format(state=state, table=table))
    assets = await uploaded(immich, owner, 12)
    async with (
        told() as lines,
        working(settings_for(database, immich.media.directory, max_attempts=1)),
    ):
        await eventually(lambda: asyncio.sleep(0, waited(lines)))
        if table != "immich_indexer.job":
            await eventually(lambda: waits(connection, "could not extend file"))
        assert await nothing_counted(connection)
        await connection.execute(HEALS.format(table=table))
        await goes_on_in_the_end(lines, connection, assets)


async def test_a_statement_timeout_that_is_too_short(database, immich, connection, owner):
    await install(database)
    await connection.execute(
        """CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN PERFORM pg_sleep(0.4); RETURN new; END $$;
           CREATE TRIGGER slow BEFORE INSERT ON smart_search FOR EACH STATEMENT EXECUTE FUNCTION slow()"""
    )
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f'ALTER DATABASE "{name}" SET statement_timeout = 200')
    assets = await uploaded(immich, owner, 6)
    async with (
        told() as lines,
        working(settings_for(database, immich.media.directory, max_attempts=1)),
    ):
        await eventually(lambda: asyncio.sleep(0, waited(lines)))
        assert "statement_timeout" in waited(lines)[0]["reason"]
        assert await nothing_counted(connection)
        await connection.execute("DROP TRIGGER slow ON smart_search")
        await goes_on_in_the_end(lines, connection, assets)


@pytest.mark.parametrize(("state", "gives_up"), [("22021", True), ("54000", True), ("53100", False)])
async def test_one_photo_that_the_database_does_not_take(database, immich, connection, owner, state, gives_up):
    """Its very data, or something that comes with it alone and again; not a disk that has no room for it just now."""
    await install(database)
    assets = await uploaded(immich, owner, 24)
    await connection.execute(
        f"""CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = '{state}'; END $$;
            CREATE TRIGGER fails BEFORE INSERT OR UPDATE ON immich_indexer.photo FOR EACH ROW
            WHEN (new.asset_id = '{assets[5]}') EXECUTE FUNCTION fails()"""
    )
    async with working(settings_for(database, immich.media.directory, max_attempts=1)):
        for number in itertools.count(24):
            assets.append(await immich.upload(stubs.picture(number), owner=owner))
            read = await connection.fetchval("SELECT count(digest) FROM immich_indexer.photo")
            settled = await failures(connection) if gives_up else await waits(connection, "not this one")
            if settled and read >= 23:
                break
            await asyncio.sleep(0.05)
            assert number < 400
        if gives_up:
            await idle(connection)
            (failure,) = (await failures(connection)).values()
            assert (failure.asset_id, failure.dead) == (assets[5], True)
            assert "cannot write the results" in failure.error
            assert verdicts.of_reason(failure.error) is verdicts.Verdict.PHOTO
        else:
            await connection.execute("DROP TRIGGER fails ON immich_indexer.photo")
            await idle(connection)
            assert await failures(connection) == {}
        for number, asset in enumerate(assets):
            if number != 5 or not gives_up:
                assert await is_indexed(connection, asset, stubs.picture(number)), number


@pytest.mark.parametrize("kind", ["clip", "ocr"])
async def test_rubbish_that_no_probe_has_found_before_the_indexer_stops(
    database, immich, connection, owner, kind, monkeypatch
):
    """It is found then: asked for again, for the next one."""

    class RubbishClip(StubClip):
        def encode_images(self, prepared):
            made = super().encode_images(prepared)
            return np.roll(made, 7, axis=1) if self.calls > 3 else made

    class RubbishOcr(StubOcr):
        def recognise(self, detections):
            made = super().recognise(detections)
            return [[] for _ in made] if self.calls > 3 else made

    pace = replace(QUICK, probe=3600, well=0, first=3600, longest=3600)
    clip, ocr = (RubbishClip(), StubOcr()) if kind == "clip" else (StubClip(), RubbishOcr())
    models = Models(hosted_clip(clip, pace=pace), hosted_ocr(ocr, pace=pace))
    assets = await uploaded(immich, owner, 8)
    settings = settings_for(database, immich.media.directory)
    async with working(settings, models):
        await eventually(lambda: connection.fetchval("SELECT count(digest) = 8 FROM immich_indexer.photo"))
        await idle(connection)
        assert not await is_indexed(connection, assets[-1], stubs.picture(7)), "it is rubbish"
    assert await connection.fetchval("SELECT count(*) FROM immich_indexer.worker") == 0
    found = await connection.fetch("SELECT DISTINCT asset_id, tasks FROM immich_indexer.inbox")
    assert {row["asset_id"] for row in found} == set(assets)
    assert {task for row in found for task in row["tasks"]} == {f"{kind}!"}
    async with working(settings):
        await all_read(connection, assets)
