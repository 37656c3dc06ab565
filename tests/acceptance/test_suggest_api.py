"""`GET /api/suggest` and the faces of those suggested, over a real socket."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import pytest

from indexer.demo.immich import StandIn
from indexer.photos import facts
from tests.support import stubs
from tests.support.people import House, Person, house

FACE = stubs.picture(7, form="JPEG")


@pytest.fixture
async def home(database: str, own: asyncpg.Connection, immich: StandIn) -> AsyncIterator[House]:
    async with house(database, immich) as home:
        yield home


@pytest.fixture
async def person(own: asyncpg.Connection, immich: StandIn, owner: UUID) -> UUID:
    """Somebody with a name and a face, on a photo of Shanghai."""
    photo = await immich.upload(stubs.picture(1), owner=owner)
    person = await immich.recognise(photo)
    await immich.name_person(owner, person, "上官婉儿")
    await immich.show_face(owner, person, FACE)
    await immich.locate(photo, "上海市", None, None)
    async with own.transaction():
        await facts.refresh(own, [photo])
    return person


async def test_suggestions(home: House, owner: UUID, person: UUID):
    ann = await home.person(owner, "user.read", "asset.read")
    reply = await ann.get("/api/suggest", q="发票 上")
    assert reply.json == {
        "before": "发票 ",
        "items": [
            {"kind": "person", "value": "上官婉儿", "personId": str(person)},
            {"kind": "place", "value": "上海市", "personId": None},
        ],
    }
    assert (await ann.get("/api/suggest")).json == {"before": "", "items": []}
    assert (await ann.get("/api/suggest", q="上", limit="21")).status == 400
    assert (await (await home.person(owner, "user.read")).get("/api/suggest", q="上")).status == 403


async def test_the_face_of_ones_own_person(home: House, immich: StandIn, owner: UUID, person: UUID):
    ann = await home.person(owner, "user.read", "person.read")
    path = f"/api/people/{person}/thumbnail"
    reply = await ann.get(path)
    assert (reply.status, reply.headers["content-type"], reply.body) == (200, "image/jpeg", FACE)
    assert (await ann.get(path, {"If-None-Match": reply.headers["etag"]})).status == 304
    eve = await home.person(await immich.create_user("eve"))
    for asking, address in ((eve, path), (ann, f"/api/people/{uuid4()}/thumbnail")):
        assert (await asking.get(address)).status == 404
    assert (await (await home.person(owner, "user.read", "asset.read")).get(path)).status == 403
    await immich.hide_person(owner, person)
    assert (await ann.get(path)).status == 404


async def test_a_person_without_a_face(home: House, immich: StandIn, owner: UUID, own: asyncpg.Connection):
    person = await immich.recognise(await immich.upload(stubs.picture(1), owner=owner))
    await immich.name_person(owner, person, "ann")
    ann: Person = await home.person(owner)
    assert (await ann.get(f"/api/people/{person}/thumbnail")).status == 404
