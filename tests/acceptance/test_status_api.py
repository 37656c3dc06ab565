"""`/api/status` and its events over a real socket: whose photos count, and how streams begin, go on and end."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from gateway.people.events import STREAMS_OF_ONE
from gateway.people.pace import ApiPace
from indexer.demo.immich import StandIn
from indexer.views import status
from tests.support import stubs
from tests.support.description import Description
from tests.support.installs import install
from tests.support.people import House, Person, house
from tests.support.workers import eventually, idle, settings_for, working

PICTURE = stubs.picture(1, form="JPEG")
Listen = Callable[..., Awaitable["Stream"]]
FIGURES = {
    "scope",
    "total",
    "indexed",
    "withText",
    "waiting",
    "running",
    "retrying",
    "failed",
    "oldestSeconds",
    "photosPerMinute",
    "etaSeconds",
    "models",
    "demoModel",
    "failures",
    "vector",
    "waitingFor",
    "weights",
    "engines",
    "workersAlive",
    "workers",
    "change",
    "advice",
    "schemaVersion",
}


AT_ONCE = ApiPace(known=0, fresh=0, share=0, look=0.02)
"""Nothing is kept, and streams look for new figures often."""


@pytest.fixture
def pace() -> ApiPace:
    return AT_ONCE


@pytest.fixture
async def boss(home: House, immich: StandIn) -> Person:
    return await home.person(await immich.create_user("boss", admin=True))


@pytest.fixture
def work(database: str, immich: StandIn) -> Callable[..., Any]:
    return lambda **overrides: working(settings_for(database, immich.media.directory, **overrides))


# The figures


async def test_an_empty_library(ann: Person, boss: Person):
    for person, scope in ((ann, "own"), (boss, "all")):
        reply = await person.get("/api/status", scope=scope)
        assert reply.status == 200
        assert reply.json.keys() == FIGURES
        assert (reply.json["scope"], reply.json["total"], reply.json["etaSeconds"]) == (scope, 0, 0)
        assert (reply.json["workersAlive"], reply.json["workers"], reply.json["failures"]) == (0, [], [])
        assert reply.json["vector"] == {"width": 512, "dimensions": None, "advice": None}
        assert reply.json["demoModel"] is None


async def test_everybody_sees_their_own(
    home: House, ann: Person, boss: Person, immich: StandIn, owner: UUID, own, work
):
    bob = await immich.create_user("bob")
    for n in range(3):
        await immich.upload(stubs.picture(n, form="JPEG"), owner=owner)
    mine = await immich.upload(b"no picture", owner=owner, file_name="mine.jpg")
    his = await immich.upload(b"no picture", owner=bob, file_name="his.jpg")
    locked, trashed = [
        await immich.upload(b"no picture", owner=owner, file_name=name) for name in ("locked.jpg", "trashed.jpg")
    ]
    async with work(max_attempts=1):
        await idle(own)
        await immich.lock(locked)
        await immich.trash(trashed)
        await idle(own)
        reply = await ann.get("/api/status")
        figures = reply.json
        assert (figures["scope"], figures["total"], figures["indexed"], figures["withText"]) == ("own", 4, 3, 3)
        assert (figures["waiting"], figures["running"], figures["retrying"], figures["failed"]) == (0, 0, 0, 1)
        assert figures["models"] == [{"clipModel": "stub clip", "ocrModel": "stub ocr", "photos": 3}]
        assert (figures["photosPerMinute"], figures["etaSeconds"]) == (3, 0)
        [failure] = figures["failures"]
        assert failure.keys() == {"assetId", "fileName", "own", "error", "failedAt", "attempts", "givenUp"}
        assert (failure["assetId"], failure["fileName"]) == (str(mine), "mine.jpg")
        assert (failure["own"], failure["attempts"], failure["givenUp"]) == (True, 1, True)
        assert "not a readable picture" in failure["error"]
        assert (figures["workersAlive"], figures["workers"], figures["advice"]) == (1, [], [])
        assert figures["vector"]["dimensions"] == 512
        assert "ViT-gopt-16-SigLIP2-384__webli" in figures["vector"]["advice"]
        for secret in ("his", "locked", "trashed", str(his), str(locked), str(trashed)):
            assert secret.encode() not in reply.body

        everything = (await boss.get("/api/status", scope="all")).json
        assert (everything["total"], everything["indexed"], everything["failed"]) == (6, 3, 4)
        names = {failure["assetId"]: (failure["fileName"], failure["own"]) for failure in everything["failures"]}
        assert names[str(his)] == ("his.jpg", False)
        assert names[str(locked)] == (None, False), "an administrator opens nobody's locked folder"
        [worker] = everything["workers"]
        assert worker.keys() == {"name", "version", "device", "photos", "photosPerMinute", "polling", "seenSeconds"}
        assert everything["workersAlive"] == 1
        assert (await boss.get("/api/status")).json["total"] == 0

        same = (await status.look(own)).figures().as_json
        changing = {"oldestSeconds", "workers", "photosPerMinute", "failures"}
        assert {name: everything[name] for name in FIGURES - changing} == {
            name: same[name] for name in FIGURES - changing
        }


async def test_the_command_line_shows_the_same(database: str, boss: Person, immich: StandIn, owner: UUID, own, work):
    await immich.upload(PICTURE, owner=owner)
    bad = await immich.upload(b"no picture", owner=owner, file_name="[bold]broken[/bold].jpg")
    async with work(max_attempts=1):
        await idle(own)

    async def command(*arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "indexer.cli", "status", *arguments),
            env=os.environ | {"DB_URL": database, "COLUMNS": "80"},
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0
        return said.decode()

    printed = json.loads(await command("--json"))
    figures = (await boss.get("/api/status", scope="all")).json
    assert printed.keys() == FIGURES
    for changing in ("photosPerMinute", "oldestSeconds"):
        del printed[changing], figures[changing]
    assert [failure.pop("own") for failure in printed["failures"] + figures["failures"]] == [False, False]
    assert printed == figures
    lines = (await command()).splitlines()
    assert "indexed 1 of 2 photos, 1 with text" in lines
    [failed] = [line for line in lines if line.startswith("failed: ")]
    assert failed.startswith(f"failed: {bad}  [bold]broken[/bold].jpg  given up after 1 attempt: ")
    assert f"  {figures['vector']['advice']}" in lines
    assert "no indexer is running: start `immich-indexer run`" in lines


async def test_what_waits_is_counted_for_whoever_it_belongs_to(ann, boss, immich: StandIn, owner: UUID, own, work):
    bob = await immich.create_user("bob")
    for user in (owner, owner, bob):
        await immich.upload(PICTURE, owner=user)
    assert (await ann.get("/api/status")).json["waiting"] == 2
    assert (await ann.get("/api/status")).json["etaSeconds"] is None, "nobody is at work"
    assert (await boss.get("/api/status", scope="all")).json["waiting"] == 3
    await own.execute(
        "WITH taken AS (DELETE FROM immich_indexer.inbox RETURNING asset_id)"
        " INSERT INTO immich_indexer.job (asset_id, tasks, priority, worker)"
        " SELECT asset_id, '{ocr}', 10, CASE WHEN row_number() OVER () = 1 THEN gen_random_uuid() END FROM taken"
    )
    figures = (await ann.get("/api/status")).json
    assert (figures["waiting"], figures["running"]) == (1, 1)
    assert figures["oldestSeconds"] >= 0
    assert (await boss.get("/api/status")).json["waiting"] == 0


async def test_the_models_in_use_are_those_of_the_photo_read_last(ann, immich: StandIn, owner: UUID, own, work):
    for n in range(3):
        await immich.upload(stubs.picture(n, form="JPEG"), owner=owner)
    async with work():
        await idle(own)
    await own.execute(
        "UPDATE immich_indexer.photo SET ocr_model = 'newer', indexed_at = now() + interval '1 s'"
        " WHERE asset_id = (SELECT asset_id FROM immich_indexer.photo LIMIT 1)"
    )
    figures = (await ann.get("/api/status")).json
    assert (figures["total"], figures["indexed"]) == (3, 1)
    assert [(row["ocrModel"], row["photos"]) for row in figures["models"]] == [("stub ocr", 2), ("newer", 1)]


async def test_an_indexer_that_died_is_not_at_work(boss: Person, own):
    await own.execute(
        "INSERT INTO immich_indexer.worker (id, name, version, device, seen_at, photos_per_minute)"
        " VALUES (gen_random_uuid(), 'dead', '0', 'cpu', now() - interval '1 hour', 100),"
        "        (gen_random_uuid(), 'alive', '0', 'cpu', now(), 30)"
    )
    figures = (await boss.get("/api/status", scope="all")).json
    assert (figures["workersAlive"], len(figures["workers"]), figures["photosPerMinute"]) == (1, 2, 30)


@pytest.mark.parametrize("path", ["/api/status", "/api/status/events"])
async def test_who_may_not(home: House, ann: Person, boss: Person, immich: StandIn, owner: UUID, path: str):
    refused = await ann.get(path, scope="all")
    assert (refused.status, refused.json["error"]) == (403, "forbidden")
    assert "administrators" in refused.json["message"]
    limited = await (await home.person(owner, "user.read", "asset.view")).get(path)
    assert limited.status == 403
    assert "asset.read" in limited.json["message"]
    assert (await home.nobody().get(path)).status == 401
    assert (await boss.get(path, scope="everything")).json["error"] == "bad_parameter"
    assert (await ann.get(path, user=str(owner))).status == 400
    assert (await ann.post(path)).status == 405


@pytest.mark.parametrize("pace", [replace(AT_ONCE, fresh=60)], ids=["kept"])
async def test_figures_are_made_once_for_all_who_ask_at_once(home, ann, boss, owner, monkeypatch):
    made, go_on, look = [], asyncio.Event(), status.look

    async def slow(connection, **options):
        made.append(options["owner"])
        await go_on.wait()
        return await look(connection, **options)

    monkeypatch.setattr("gateway.people.overview.status", SimpleNamespace(look=slow))
    asking = [asyncio.create_task(ann.get("/api/status")) for _ in range(10)]
    asking += [asyncio.create_task(boss.get("/api/status", scope="all")) for _ in range(10)]
    await eventually(lambda: asyncio.sleep(0, len(made) == 2))
    asking[0].cancel()  # who asked first goes; the others are answered
    go_on.set()
    replies = await asyncio.gather(*asking[1:])
    assert {reply.status for reply in replies} == {200}
    assert [reply.json["scope"] for reply in replies] == 9 * ["own"] + 10 * ["all"]
    assert (await ann.get("/api/status")).status == 200
    assert set(made) == {owner, None}
    assert len(made) == 2


# The events


@dataclass
class Stream:
    """A stream of events as a page reads it."""

    response: aiohttp.ClientResponse
    session: aiohttp.ClientSession

    async def next(self) -> tuple[str, Any]:
        """The next event; a comment is ("", None), the end ("end", None)."""
        fields: dict[str, str] = {}
        async for raw in self.response.content:
            line = raw.decode().removesuffix("\n")
            if not line:
                return await self._checked(fields)
            name, _, value = line.partition(": ")
            fields[name] = value
        return "end", None

    async def _checked(self, fields: dict[str, str]) -> tuple[str, Any]:
        if "data" not in fields:
            return fields.get("event", ""), None
        data = json.loads(fields["data"])
        (await Description.of_gateway(self.session)).check_event("/api/status/events", fields["event"], data)
        return fields["event"], data

    async def until(self, condition: Callable[[Any], bool]) -> Any:
        while True:
            event, figures = await self.next()
            assert event == "status"
            if condition(figures):
                return figures

    def close(self) -> None:
        self.response.close()


@pytest.fixture
async def listen() -> AsyncIterator[Listen]:
    """Opens streams, which are closed at the end."""
    streams: list[Stream] = []

    async def listen(person: Person, **parameters: str) -> Stream:
        response = await person.session.get("/api/status/events", headers=person.headers, params=parameters)
        streams.append(Stream(response, person.session))
        return streams[-1]

    yield listen
    for stream in streams:
        stream.close()


async def test_a_stream_tells_at_once_and_when_something_changes(ann, immich: StandIn, owner: UUID, own, work, listen):
    stream = await listen(ann)
    assert stream.response.status == 200
    assert stream.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert stream.response.headers["Cache-Control"] == "no-store"
    event, figures = await stream.next()
    assert (event, figures.keys(), figures["total"]) == ("status", FIGURES, 0)
    await immich.upload(PICTURE, owner=owner)
    await stream.until(lambda figures: figures["total"] == figures["waiting"] == 1)
    await immich.upload(b"no picture", owner=owner, file_name="broken.jpg")
    async with work(max_attempts=1):
        await stream.until(lambda figures: figures["workersAlive"] == 1)
        done = await stream.until(lambda figures: figures["indexed"] == 1 and figures["failed"] == 1)
    assert [failure["fileName"] for failure in done["failures"]] == ["broken.jpg"]


async def test_a_stream_shows_ones_own_and_an_administrator_everything(ann, boss, immich: StandIn, owner: UUID, listen):
    bob = await immich.create_user("bob")
    mine, everything = await listen(ann), await listen(boss, scope="all")
    assert (await everything.next())[1]["scope"] == "all"
    await immich.upload(PICTURE, owner=bob)
    await everything.until(lambda figures: figures["total"] == 1)
    await immich.upload(PICTURE, owner=owner)
    await everything.until(lambda figures: figures["total"] == 2)
    assert [(await mine.next())[1]["total"], (await mine.until(lambda figures: figures["total"] > 0))["total"]] == [
        0,
        1,
    ]


@pytest.mark.parametrize("pace", [replace(AT_ONCE, heartbeat=0.1)], ids=["heartbeat"])
async def test_nothing_new_is_told_by_a_heartbeat(ann: Person, own, listen):
    stream = await listen(ann)
    assert (await stream.next())[0] == "status"
    assert [await stream.next() for _ in range(3)] == [("", None)] * 3


@pytest.mark.parametrize("pace", [replace(AT_ONCE, check=0)], ids=["checked"])
async def test_a_stream_ends_when_the_key_is_revoked(home: House, immich: StandIn, owner: UUID, own, listen):
    key = await immich.create_key(owner)
    stream = await listen(home.with_key(key))
    assert (await stream.next())[0] == "status"
    await immich.revoke_key(key)
    event, error = await stream.next()
    assert (event, error["error"]) == ("error", "unauthorized")
    assert (await stream.next())[0] == "end"


@pytest.mark.parametrize("pace", [replace(AT_ONCE, check=0)], ids=["checked"])
async def test_a_stream_ends_when_an_administrator_is_one_no_more(home, boss, connection, own, listen):
    stream = await listen(boss, scope="all")
    await stream.next()
    await connection.execute('UPDATE "user" SET "isAdmin" = false')
    event, error = await stream.next()
    assert (event, error["error"], (await stream.next())[0]) == ("error", "forbidden", "end")


async def test_a_stream_ends_when_the_database_is_away(own_immich, private_server, pace, listen):
    url, immich = own_immich
    await install(url)
    async with house(url, immich, pace=pace) as home:
        stream = await listen(await home.person(await immich.create_user("ann")))
        await stream.next()
        private_server.stop()
        event, error = await stream.next()
        assert (event, error["error"], (await stream.next())[0]) == ("error", "unavailable", "end")


async def test_a_stream_ends_when_the_gateway_stops(database: str, own, immich: StandIn, owner: UUID, listen):
    async with house(database, immich, pace=replace(AT_ONCE, look=3600)) as home:
        stream = await listen(await home.person(owner))
        await stream.next()
        ending = asyncio.create_task(stream.next())
        await home.stop()
        assert await ending == ("end", None), "rightly, not cut off"


async def test_there_are_so_many_streams_and_no_more(home: House, ann: Person, boss: Person, listen):
    streams = [await listen(ann) for _ in range(STREAMS_OF_ONE)]
    refused = await listen(ann)
    assert refused.response.status == 503
    assert refused.response.headers["Retry-After"] == "15"
    assert (await listen(boss)).response.status == 200, "others are not kept out by one"
    streams.pop().close()

    async def again() -> bool:
        stream = await listen(ann)
        streams.append(stream)
        return stream.response.status == 200

    await eventually(again)
    for stream in streams:
        stream.close()

    async def none_is_open() -> bool:
        return b'immich_gateway_waiting{queue="event streams"} 1.0' in (await home.nobody().get("/metrics")).body

    await eventually(none_is_open)


@pytest.mark.parametrize("pace", [replace(AT_ONCE, slow=0.5)], ids=["ended soon"])
async def test_a_client_that_does_not_read_holds_up_nobody(home, ann: Person, boss: Person, monkeypatch, listen):
    look, number = status.look, 0

    async def changing(connection, **options):
        nonlocal number
        number += 1
        found = await look(connection, **options)
        return status.Status(**{**vars(found), "advice": [f"{number}" + "x" * 200_000]})

    monkeypatch.setattr("gateway.people.overview.status", SimpleNamespace(look=changing))
    reader, writer = await asyncio.open_connection("127.0.0.1", int(home.address.rpartition(":")[2]), limit=1024)
    key = ann.headers["x-api-key"]
    writer.write(f"GET /api/status/events HTTP/1.1\r\nHost: x\r\nx-api-key: {key}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    stream = await listen(boss)
    for _ in range(5):
        assert (await stream.next())[0] == "status"
    stream.close()

    async def hung_up() -> bool:
        return b'immich_gateway_waiting{queue="event streams"} 0.0' in (await home.nobody().get("/metrics")).body

    await eventually(hung_up)
    with contextlib.suppress(ConnectionError):
        while await reader.read(1 << 16):  # what was on its way; then it is over
            pass
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()  # or the socket may outlive the test
