"""What Immich's workflow "Asset tagged" tells over a real socket: believed in nothing but the photo's id."""

import asyncio
import io
import json
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from indexer.demo.immich import StandIn
from indexer.photos import facts
from indexer.work.worker import Models
from tests.support import stubs
from tests.support.people import House, Person
from tests.support.stubs import StubClip, StubOcr
from tests.support.workers import idle, settings_for, working

ADDRESS = "/api/webhooks/tagged"


def told(asset: Any, owner: UUID | None = None, **more: Any) -> dict[str, Any]:
    """As Immich 3.2 sends it."""
    asset = {"id": str(asset), "ownerId": str(owner or uuid4()), "visibility": "timeline", "tags": [], "exifInfo": more}
    return {"type": "workflow", "trigger": "AssetTagged", "data": {"asset": asset}}


@pytest.fixture
async def asset(own: asyncpg.Connection, immich: StandIn, owner: UUID) -> UUID:
    asset = await immich.upload(stubs.picture(1), owner=owner)
    await own.execute("DELETE FROM immich_indexer.inbox")
    return asset


async def follow(own: asyncpg.Connection) -> None:
    """As an indexer does, whom the trigger told of the tag."""
    async with own.transaction():
        await facts.follow(own, 100)


async def wishes(own: asyncpg.Connection) -> list[tuple[UUID, list[str], int]]:
    return [tuple(row) for row in await own.fetch("SELECT asset_id, tasks, priority FROM immich_indexer.inbox")]


@pytest.mark.parametrize("trigger", ["told before", "told after"])
@pytest.mark.parametrize(
    ("tag", "tasks"), [("reindex", ["clip!", "ocr!"]), ("reindex/ocr", ["ocr!"]), ("Reindex/clip", ["clip!"])]
)
async def test_the_photo_is_enqueued_once(
    own, immich: StandIn, owner: UUID, ann: Person, asset: UUID, tag, tasks, trigger
):
    await immich.tag(asset, tag)
    if trigger == "told before":
        await follow(own)
    replies = await asyncio.gather(*(ann.post(ADDRESS, told(asset, owner)) for _ in range(8)))
    assert {(reply.status, reply.json["tagged"]) for reply in replies} == {(202, True)}
    await follow(own)
    assert await wishes(own) == [(asset, tasks, 0)]


async def test_it_is_read_once_whoever_tells_first(
    database, own, immich: StandIn, owner: UUID, ann: Person, asset: UUID
):
    ocr = StubOcr()
    async with working(settings_for(database, immich.media.directory), Models(StubClip(), ocr, "cpu")):
        await idle(own)
        read = ocr.calls
        await immich.tag(asset, "reindex")
        await asyncio.gather(*(ann.post(ADDRESS, told(asset)) for _ in range(4)))
        await idle(own)
        assert (await ann.post(ADDRESS, told(asset))).status == 202
        await idle(own)
    assert ocr.calls == read + 1


async def test_many_at_once_do_not_hold_up_uploads(own, immich: StandIn, owner: UUID, ann: Person):
    assets = [await immich.upload(stubs.picture(number), owner=owner) for number in range(22)]
    await own.execute("DELETE FROM immich_indexer.inbox")
    await immich.tag(assets, "reindex")
    for photo in assets:
        assert (await ann.post(ADDRESS, told(photo))).status == 202
    assert sorted(priority for _, _, priority in await wishes(own)) == [0] * 20 + [15] * 2


async def test_what_the_body_says_of_owner_and_tags_is_not_believed(
    own, immich: StandIn, owner: UUID, home: House, asset
):
    eve_id = await immich.create_user("eve")
    eve = await home.person(eve_id)
    await immich.tag(asset, "reindex")
    await own.execute("DELETE FROM immich_indexer.inbox")
    for photo in (asset, uuid4()):
        reply = await eve.post(ADDRESS, told(photo, eve_id))
        assert (reply.status, reply.json) == (404, {"error": "not_found", "message": "there is no such photo"})
    hers = await immich.upload(stubs.picture(2), owner=eve_id)
    await own.execute("DELETE FROM immich_indexer.inbox")
    body = told(hers, eve_id)
    body["data"]["asset"]["tags"] = [{"value": "reindex"}]
    reply = await eve.post(ADDRESS, body)
    assert (reply.status, reply.json) == (202, {"tagged": False})
    await immich.tag(hers, "holiday/reindex")
    assert (await eve.post(ADDRESS, body)).json == {"tagged": False}
    assert await wishes(own) == []


@pytest.mark.parametrize("change", ["trash", "lock"])
async def test_a_photo_that_is_not_shown(own, immich: StandIn, ann: Person, asset: UUID, change):
    await immich.tag(asset, "reindex")
    await getattr(immich, change)(asset)
    await own.execute("DELETE FROM immich_indexer.inbox")
    assert (await ann.post(ADDRESS, told(asset))).status == 404
    assert await wishes(own) == []


async def test_a_key_must_be_allowed_to_have_photos_read(home: House, owner: UUID, asset: UUID):
    for permissions in (("user.read", "asset.read"), ("user.read", "asset.update"), ("asset.read", "asset.update")):
        person = await home.person(owner, *permissions)
        assert (await person.post(ADDRESS, told(asset))).status == 403
    assert (await home.nobody().post(ADDRESS, told(asset))).status == 401
    assert (await home.with_key("wrong").post(ADDRESS, told(asset))).status == 401


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (None, 400, "bad_parameter"),
        (b"", 400, "bad_parameter"),
        (b"{", 400, "bad_parameter"),
        (b"[]", 400, "bad_parameter"),
        (b"\xff\xfe", 400, "bad_parameter"),
        (b"[" * 100_000, 400, "bad_parameter"),
        ({}, 400, "bad_parameter"),
        ({"data": None}, 400, "bad_parameter"),
        ({"data": {"asset": [1]}}, 400, "bad_parameter"),
        ({"data": {"asset": {"id": 1}}}, 400, "bad_parameter"),
        ({"data": {"asset": {"id": "1; DROP TABLE asset"}}}, 400, "bad_parameter"),
        ({"data": {"asset": {"id": ["x"]}}}, 400, "bad_parameter"),
        (told(uuid4(), description="长" * 100_000), 404, "not_found"),
    ],
)
async def test_bodies_that_are_none(own, ann: Person, body, status, error):
    reply = await ann.post(ADDRESS, body)
    assert (reply.status, reply.json["error"]) == (status, error)
    assert reply.json["message"]
    assert await wishes(own) == []


async def test_a_body_that_is_too_long(ann: Person):
    body = io.BytesIO(json.dumps(told(uuid4(), description="x" * (1 << 20))).encode())
    reply = await ann.ask("POST", ADDRESS, data=body)
    assert (reply.status, reply.json["error"]) == (413, "too_large")


async def test_no_database(home: House, immich: StandIn, ann: Person, asset: UUID, own):
    await immich.tag(asset, "reindex")
    await own.execute("ALTER TABLE immich_indexer.tagged RENAME TO elsewhere")
    reply = await ann.post(ADDRESS, told(asset))
    assert (reply.status, reply.json["error"]) == (503, "unavailable")
