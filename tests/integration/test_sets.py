"""The model is changed while people search: at any moment Immich's column has all vectors, and of one model."""

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner
from structlog.testing import capture_logs

from indexer.cli.main import main
from indexer.database import schema
from indexer.database.pool import connect_to_immich, hang_up, open_pool
from indexer.demo.immich import StandIn
from indexer.photos import facts, sets
from indexer.photos.sets import IMMICHS, NoSuchModelError
from indexer.photos.vectors import as_column, fingerprint
from indexer.views import status
from indexer.work import turn
from indexer.work.turn import TurnError
from indexer.work.worker import Models
from tests.support import stubs
from tests.support.installs import make_role
from tests.support.stubs import StubClip, StubOcr
from tests.support.workers import QUICK, eventually, idle, settings_for, vector_of, working

Connection = asyncpg.Connection

SOON = replace(QUICK, turn=0.05, turn_grace=0)
NEVER = replace(QUICK, turn=3600)  # only when the test says so
OLD, NEW = 0, 1  # kinds of stub models
HERE = "(SELECT oid FROM pg_database WHERE datname = current_database())"
HAS_WRITTEN = f"""SELECT EXISTS (SELECT FROM pg_locks WHERE database = {HERE} AND granted
    AND relation = 'smart_search'::regclass AND mode = 'RowExclusiveLock')"""
WAITING = f"""SELECT EXISTS (SELECT FROM pg_locks w JOIN pg_locks l USING (pid)
    WHERE NOT w.granted AND l.database = {HERE})"""


def old_clip(_setting: str = "") -> StubClip:
    return StubClip("old", kind=OLD)


def new_models(dimensions: int = stubs.DIMENSIONS) -> Models:
    return Models(StubClip("new", dimensions, kind=NEW), StubOcr(), "cpu")


async def column(connection: Connection, pictures: dict[UUID, int]) -> list[str]:
    """Which model made the vector of each photo: old, new, none, or another."""
    found = []
    for asset, number in pictures.items():
        vector = await vector_of(connection, asset)
        rgb = stubs.rgb(number)
        found.append(
            "none"
            if vector is None
            else next(
                (
                    name
                    for name, kind in (("old", OLD), ("new", NEW))
                    if float(vector[: stubs.DIMENSIONS] @ stubs.vector_of(rgb, kind=kind)) > 0.999
                ),
                "another",
            )
        )
    return found


async def pong(_request: web.Request) -> web.Response:
    return web.Response(text="pong")


async def states(connection: Connection) -> dict[str, str]:
    rows = await connection.fetch("SELECT name, state FROM immich_indexer_3.model")
    return {row["name"]: row["state"] for row in rows}


async def library(database: str, immich: StandIn, connection: Connection, owner: UUID, size: int) -> dict[UUID, int]:
    """Photos that the old model has read, each with the number of its picture."""
    settings = settings_for(database, immich.media.directory, clip_model="ViT-B-16")
    async with working(settings, Models(old_clip(), StubOcr(), "cpu"), pace=QUICK):
        pictures = {await immich.upload(stubs.picture(number), owner=owner): number for number in range(size)}
        await idle(connection)
    return pictures


async def change(dsn: str, name: str, **options: float) -> None:
    assert await turn.turn(dsn, name, **{"grace": 0, **options})


async def test_a_new_model_is_used_once_every_photo_has_its_vector(database, immich: StandIn, connection, owner):
    pictures = await library(database, immich, connection, owner, 5)
    assert await states(connection) == {"old": "current"}
    settings = settings_for(database, immich.media.directory, clip_model="RN50")
    async with working(settings, new_models(), pace=NEVER, open_clip=old_clip):
        await eventually(lambda: connection.fetchval("SELECT count(*) = 5 FROM immich_indexer_3.vector"))
        number = len(pictures)
        pictures[await immich.upload(stubs.picture(number), owner=owner)] = number
        await idle(connection)
        assert await states(connection) == {"old": "current", "new": "next"}
        assert await column(connection, pictures) == ["old"] * 6, "the new photo, too, is found by the old model"
        assert await connection.fetchval("SELECT count(*) FROM immich_indexer_3.vector") == 6, "and has the new vector"
    with capture_logs() as logs:
        async with working(settings, new_models(), pace=SOON, open_clip=old_clip):
            await eventually(lambda: _is_current(connection, "new"))
            assert await column(connection, pictures) == ["new"] * 6
            assert await states(connection) == {"old": "previous", "new": "current"}
            await eventually(lambda: _reads_with(logs, "new"))  # until then it reads with both
            number = len(pictures)
            pictures[await immich.upload(stubs.picture(number), owner=owner)] = number
            await idle(connection)
            assert await column(connection, pictures) == ["new"] * 7
    await change(database, "old")
    assert await column(connection, pictures) == ["old"] * 6 + ["none"], "read since, so without a vector of the old"
    assert await states(connection) == {"old": "current", "new": "previous"}
    async with working(settings, new_models(), pace=SOON, open_clip=old_clip):
        await eventually(lambda: _all(connection, pictures, "old"))
        await idle(connection)
        assert await states(connection) == {"old": "current", "new": "previous"}, "CLIP_MODEL alone changes it no more"
    await change(database, "new")
    assert await column(connection, pictures) == ["new"] * 7
    own = await connect_to_immich(database)
    assert await sets.drop(own) == ["old"]
    await sets.forget_old(own)
    await hang_up(own)
    assert await connection.fetchval("SELECT count(*) FROM immich_indexer_3.vector") == 0, "all are in the photos' rows"
    assert await connection.fetchval("SELECT count(*) FROM immich_indexer.photo WHERE clip_model = 'new'") == 7
    async with working(settings, new_models(), pace=SOON) as worker:
        await idle(connection)
        assert worker.pipeline is not None
        assert worker.pipeline.photos == 0, "none is read again"
    assert await column(connection, pictures) == ["new"] * 7


async def _is_current(connection: Connection, name: str) -> bool:
    return (await states(connection)).get(name) == "current"


async def _reads_with(logs: list[Any], name: str) -> bool:
    return any(entry["event"] == "indexing" and entry["clip"] == name for entry in logs)


async def _all(connection: Connection, pictures: dict[UUID, int], name: str) -> bool:
    return set(await column(connection, pictures)) == {name}


async def test_an_edit_follows_into_the_vector_of_whichever_model_is_in_use(database, immich, connection, owner):
    await immich.change_clip_model(1024)
    settings = settings_for(database, immich.media.directory, clip_model="ViT-B-16")
    async with working(settings, Models(old_clip(), StubOcr(), "cpu"), pace=QUICK):
        asset = await immich.upload(stubs.picture(1), owner=owner, file_name="生日.jpg")
        await idle(connection)

    async def holds(kind: int, *facts: str) -> bool:
        expected = as_column(stubs.vector_of(stubs.rgb(1), kind=kind), 1024, stubs.expected_text(1), facts)
        return bool((await vector_of(connection, asset) == expected).all())

    assert await holds(OLD, "", "生日.jpg")
    settings = settings_for(database, immich.media.directory, clip_model="RN50")
    async with working(settings, new_models(), pace=NEVER, open_clip=old_clip):
        await eventually(lambda: connection.fetchval("SELECT count(*) = 1 FROM immich_indexer_3.vector"))
        await immich.describe(asset, "外婆家")
        await eventually(partial(holds, OLD, "外婆家", "生日.jpg"))
        await idle(connection)
    await change(database, "new")
    assert await holds(NEW, "外婆家", "生日.jpg"), "that vector is beside the photo's own"
    pool = await open_pool(database)
    try:
        await immich.describe(asset, "火锅")
        await pool.transact(partial(facts.follow, limit=100))
        assert await holds(NEW, "火锅", "生日.jpg")
    finally:
        await pool.close()
    noted = await connection.fetchval("SELECT hash FROM immich_indexer_3.vector WHERE model = 'new'")
    assert noted == fingerprint(await vector_of(connection, asset)), "so nothing seems to be wrong with it"
    await change(database, "old")
    assert await holds(OLD, "火锅", "生日.jpg")


async def test_a_change_that_is_killed_has_changed_nothing(database, immich: StandIn, connection, owner):
    pictures = await library(database, immich, connection, owner, 4)
    settings = settings_for(database, immich.media.directory, clip_model="RN50")
    async with working(settings, new_models(), pace=NEVER, open_clip=old_clip):
        await eventually(lambda: connection.fetchval("SELECT count(*) = 4 FROM immich_indexer_3.vector"))
        await idle(connection)
    doing = asyncio.create_task(turn.turn(database, "new", grace=3600))
    pid = await eventually(lambda: _turning(connection))
    assert await column(connection, pictures) == ["old"] * 4
    await connection.execute("SELECT pg_terminate_backend($1)", pid)
    doing.cancel()
    await asyncio.wait([doing])
    await eventually(lambda: _nobody_turns(connection))
    assert await column(connection, pictures) == ["old"] * 4
    assert await states(connection) == {"old": "current", "new": "next"}
    await change(database, "new")
    assert await column(connection, pictures) == ["new"] * 4


async def _turning(connection: Connection) -> int | None:
    """The server's process that has excluded all others."""
    return await connection.fetchval(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 1960167 AND mode = 'ExclusiveLock'"
        f" AND granted AND database = {HERE}"
    )


async def _nobody_turns(connection: Connection) -> bool:
    """Neither that lock nor the one that keeps a second change away, which ends with the session, a little later."""
    held = "SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid IN (1960167, 1960168)"
    return await connection.fetchval(f"{held} AND mode = 'ExclusiveLock' AND database = {HERE})")


@pytest.mark.parametrize("login", ["immich", "ii"])
async def test_the_index_of_a_large_column_is_dropped_and_made_again(
    login: str, superuser_url, immich_url, immich: StandIn, connection, owner
):
    url = immich_url if login == "immich" else await make_role(superuser_url)
    before = await connection.fetchval("SELECT pg_get_indexdef('clip_index'::regclass)")
    pictures = await library(url, immich, connection, owner, 3)
    settings = settings_for(url, immich.media.directory, clip_model="RN50")
    async with working(settings, new_models(), pace=NEVER, open_clip=old_clip):
        await eventually(lambda: connection.fetchval("SELECT count(*) = 3 FROM immich_indexer_3.vector"))
        await idle(connection)
    oid = await connection.fetchval("SELECT 'clip_index'::regclass::oid")
    await change(url, "new", many=3)
    assert await column(connection, pictures) == ["new"] * 3
    assert await connection.fetchval("SELECT pg_get_indexdef('clip_index'::regclass)") == before
    assert await connection.fetchval("SELECT 'clip_index'::regclass::oid") != oid
    await connection.execute(  # killed before it was made again
        "BEGIN; SET LOCAL search_path = pg_catalog;"
        " INSERT INTO immich_indexer.state"
        " SELECT 'clip_index', to_jsonb(pg_get_indexdef('public.clip_index'::regclass));"
        " DROP INDEX public.clip_index; COMMIT"
    )
    async with working(settings, new_models(), pace=QUICK):
        await eventually(lambda: connection.fetchval("SELECT pg_get_indexdef(to_regclass('clip_index')) = $1", before))


async def test_a_role_without_that_function_keeps_the_index(superuser_url, immich: StandIn, connection, owner):
    url = await make_role(superuser_url)
    await connection.execute("DROP SCHEMA immich_indexer_index CASCADE")
    pictures = await library(url, immich, connection, owner, 1)
    own = await connect_to_immich(url)
    await sets.register(own, sets.Own("new", "RN50", None), UUID(int=1), {}, immich_answers=False)
    [(one, number)] = pictures.items()
    await sets.store(own, {}, [sets.Vector(one, "new", await _digest(connection, one), _new(number))])
    await hang_up(own)
    oid = await connection.fetchval("SELECT 'clip_index'::regclass::oid")
    await change(url, "new", many=0)
    assert await column(connection, pictures) == ["new"]
    assert await connection.fetchval("SELECT 'clip_index'::regclass::oid") == oid


async def test_where_immich_has_read_the_library_its_own_model_stays_until_the_change(
    database, immich: StandIn, connection, owner
):
    pictures = {await immich.upload(stubs.picture(number), owner=owner): number for number in range(3)}
    for asset, number in pictures.items():
        await immich.immich_clip_job(asset, stubs.vector_of(stubs.rgb(number), kind=OLD))
    app = web.Application()
    app.router.add_get("/ping", pong)
    async with (
        TestServer(app) as server,
        working(
            settings_for(database, immich.media.directory, immich_ml_url=str(server.make_url("/"))),
            new_models(),
            pace=NEVER,
        ),
    ):
        await eventually(lambda: connection.fetchval("SELECT count(*) = 3 FROM immich_indexer_3.vector"))
        await idle(connection)
        assert await states(connection) == {IMMICHS: "current", "new": "next"}
        assert await column(connection, pictures) == ["old"] * 3
        text = await connection.fetchval("SELECT count(*) FROM immich_indexer.photo WHERE text <> ''")
        assert text == 3, "they are found by their text at once"
    await change(database, "new")
    assert await column(connection, pictures) == ["new"] * 3
    await change(database, IMMICHS)
    assert await column(connection, pictures) == ["old"] * 3
    assert await connection.fetchval("SELECT count(*) FROM immich_indexer_3.vector WHERE model = 'immich'") == 0


async def test_without_immichs_server_nobody_could_ask_its_vectors(database, immich: StandIn, connection, owner):
    asset = await immich.upload(stubs.picture(1), owner=owner)
    await immich.immich_clip_job(asset, stubs.vector_of(stubs.rgb(1), kind=OLD))
    nobody = settings_for(database, immich.media.directory, immich_ml_url="http://127.0.0.1:9")
    async with working(nobody, new_models(), pace=QUICK):
        await idle(connection)
        assert await states(connection) == {"new": "current"}
    assert await column(connection, {asset: 1}) == ["new"]


async def test_a_part_of_the_photos_may_be_enough(database, immich: StandIn, connection, owner):
    pictures = await library(database, immich, connection, owner, 4)
    own = await connect_to_immich(database)
    await sets.register(own, sets.Own("new", "RN50", None), UUID(int=1), {}, immich_answers=False)
    one, *others = pictures
    await sets.store(own, {}, [sets.Vector(one, "new", await _digest(connection, one), _new(pictures[one]))])
    progress = await sets.progress(own, "new")
    assert (progress.photos, progress.made, progress.missing, progress.given_up) == (4, 1, 3, 0)
    assert [progress.suffices(share) for share in (0.25, 0.3, 1)] == [True, False, False]
    undone = own.transaction()
    await undone.start()
    await own.execute("UPDATE immich_indexer.photo SET clip_model = NULL WHERE asset_id = $1", others[0])
    assert await sets.progress(own, "new") == progress, "a photo with the vector of an earlier picture lacks one, too"
    await undone.rollback()
    await hang_up(own)
    with pytest.raises(TurnError, match="3 photos have no vector of new yet"):
        await turn.turn(database, "new", grace=0, complete=True, waits=0)
    assert await column(connection, pictures) == ["old"] * 4
    await change(database, "new")
    assert await column(connection, pictures) == ["new", "none", "none", "none"], "old and new are never mixed"
    await change(database, "old")
    assert await column(connection, pictures) == ["old"] * 4
    assert len(others) == 3


async def test_a_photo_that_nobody_can_read_does_not_hold_up_the_change(database, immich: StandIn, connection, owner):
    pictures = await library(database, immich, connection, owner, 2)
    one, other = pictures
    own = await connect_to_immich(database)
    await sets.register(own, sets.Own("new", "RN50", None), UUID(int=1), {}, immich_answers=False)
    await sets.store(own, {}, [sets.Vector(one, "new", await _digest(connection, one), _new(pictures[one]))])
    await connection.execute('DELETE FROM asset_file WHERE "assetId" = $1', other)
    assert (await sets.progress(own, "new")).suffices(1)
    await hang_up(own)
    await change(database, "new", complete=True, waits=0)
    assert await column(connection, pictures) == ["new", "none"]


async def _digest(connection: Connection, asset: UUID) -> bytes:
    return await connection.fetchval("SELECT digest FROM immich_indexer.photo WHERE asset_id = $1", asset)


def _new(number: int) -> np.ndarray:
    return stubs.vector_of(stubs.rgb(number), kind=NEW)


async def test_a_change_that_is_taken_back_leaves_nothing_to_do(database, immich: StandIn, connection, owner):
    pictures = await library(database, immich, connection, owner, 2)
    own = await connect_to_immich(database)
    await sets.register(own, sets.Own("new", "RN50", None), UUID(int=1), {}, immich_answers=False)
    await connection.execute(
        "INSERT INTO immich_indexer.inbox SELECT id, '{clip}', 10 FROM asset; UPDATE asset SET \"updatedAt\" = now()"
    )
    resting = await sets.rest(own, held=True)
    assert resting is not None
    assert resting.name == "new"
    found = await sets.register(own, sets.Own("new", "RN50", None), UUID(int=1), {}, immich_answers=False)
    assert found.next is None, "a person took it back"
    await hang_up(own)
    async with working(settings_for(database, immich.media.directory), Models(old_clip(), StubOcr(), "cpu")):
        await idle(connection)
    assert await column(connection, pictures) == ["old"] * 2


async def test_the_vectors_of_a_dropped_model_are_deleted(database, immich: StandIn, connection, owner):
    pictures = await library(database, immich, connection, owner, 2)
    own = await connect_to_immich(database)
    await sets.register(own, sets.Own("new", "RN50", None), UUID(int=1), {}, immich_answers=False)
    await sets.store(
        own, {}, [sets.Vector(a, "new", await _digest(connection, a), _new(n)) for a, n in pictures.items()]
    )
    with pytest.raises(NoSuchModelError):
        await sets.drop(own, "new")
    await sets.rest(own, held=True)
    assert await sets.drop(own) == ["new"]
    assert await sets.forget_old(own, page=1) == []
    assert await connection.fetchval("SELECT count(*) FROM immich_indexer_3.vector") == 0
    await hang_up(own)


async def test_an_indexer_without_clip_has_no_part_in_it(database, immich: StandIn, connection, owner):
    one = await immich.upload(stubs.picture(0), owner=owner)
    await immich.immich_clip_job(one, stubs.vector_of(stubs.rgb(0), kind=OLD))
    own = await connect_to_immich(database)
    await schema.install(own)
    await sets.register(own, sets.Own("new", "RN50", None), UUID(int=1), {}, immich_answers=True)
    await hang_up(own)
    await connection.execute("DELETE FROM smart_search")
    with capture_logs() as logs:
        async with working(
            settings_for(database, immich.media.directory, tasks="ocr"), Models(None, StubOcr(), "cpu"), pace=SOON
        ):
            await immich.upload(stubs.picture(1), owner=owner)
            await eventually(
                lambda: connection.fetchval("SELECT count(*) = 2 FROM immich_indexer.photo WHERE text <> ''")
            )
    assert not [entry for entry in logs if entry["event"] == "starting again"]


async def test_where_immich_empties_its_vectors_ours_are_used_at_once(database, immich: StandIn, connection, owner):
    pictures = {await immich.upload(stubs.picture(number), owner=owner): number for number in range(2)}
    for asset, number in pictures.items():
        await immich.immich_clip_job(asset, stubs.vector_of(stubs.rgb(number), kind=OLD))
    own = await connect_to_immich(database)
    await schema.install(own)
    await sets.register(own, sets.Own("new", "RN50", None), UUID(int=1), {}, immich_answers=True)
    await hang_up(own)
    assert (await states(connection))[IMMICHS] == "current"
    async with working(settings_for(database, immich.media.directory), new_models(), pace=replace(NEVER, turn=0.1)):
        await immich.change_clip_model(1024)
        await eventually(lambda: _is_current(connection, "new"))
        await eventually(lambda: _all(connection, pictures, "new"))


async def test_immichs_own_change_of_the_column_never_fails_because_of_ours(database, immich, connection, owner):
    [photo] = await library(database, immich, connection, owner, 1)
    own = await connect_to_immich(database)
    await sets.register(own, sets.Own("new", "RN50", stubs.DIMENSIONS), UUID(int=1), {}, immich_answers=False)
    digest = await _digest(connection, photo)
    ours = asyncio.create_task(turn.turn(database, "new", grace=0, complete=True, waits=60))
    await eventually(lambda: own.fetchval(HAS_WRITTEN))
    immichs = asyncio.create_task(immich.change_clip_model(1024))
    await eventually(lambda: own.fetchval(WAITING))
    await sets.store(own, {}, [sets.Vector(photo, "new", digest, _new(0))])  # what our change has waited for
    await immichs
    assert await ours is not None
    await hang_up(own)
    assert await states(connection) == {"old": "previous", "new": "current"}


async def test_where_nothing_was_read_yet_another_model_is_used_at_once(database, immich, connection):
    own = await connect_to_immich(database)
    await schema.install(own)
    for name in ("one", "other"):
        await sets.register(own, sets.Own(name, name, None), UUID(int=1), {}, immich_answers=False)
        assert await states(connection) == {name: "current"}
    await hang_up(own)


async def test_a_person_is_told_of_a_change_and_leads_it(database, immich: StandIn, connection, owner):
    async def run(*arguments: str) -> str:
        done = await asyncio.to_thread(CliRunner(env={"DB_URL": database}).invoke, main, ["model", *arguments])
        assert done.exit_code == 0, done.output
        return " ".join(done.output.split())

    pictures = await library(database, immich, connection, owner, 2)
    own = await connect_to_immich(database)
    await sets.register(own, sets.Own("new", "RN50", None), UUID(int=1), {}, immich_answers=False)
    one = next(iter(pictures))
    await sets.store(own, {}, [sets.Vector(one, "new", await _digest(connection, one), _new(pictures[one]))])
    await hang_up(own)
    told = await run()
    assert "current: old, CLIP_MODEL=ViT-B-16" in told
    assert "from old to new: 1 of 2 photos have a vector of the new one" in told
    figures = (await status.look(connection)).figures().change
    assert figures is not None
    assert (figures.current, figures.next, figures.photos, figures.made) == ("old", "new", 2, 1)
    assert "the change to new is taken back" in await run("back")
    assert await states(connection) == {"old": "current", "new": "idle"}
    assert "dropped new" in await run("drop")
    assert await states(connection) == {"old": "current"}
    assert "current: old" in await run()
