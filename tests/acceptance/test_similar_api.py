"""`GET /api/assets/{id}/similar` over a real socket."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import pytest

from indexer.demo.immich import StandIn
from indexer.work.worker import Models
from tests.support import stubs
from tests.support.people import House, house
from tests.support.stubs import StubClip, StubOcr
from tests.support.workers import idle, settings_for, working


@pytest.fixture
async def home(database: str, own: asyncpg.Connection, immich: StandIn) -> AsyncIterator[House]:
    async with house(database, immich) as home:
        yield home


async def test_similar_photos(home: House, database: str, own: asyncpg.Connection, immich: StandIn, owner: UUID):
    settings = settings_for(database, immich.media.directory)
    async with working(settings, Models(StubClip(), StubOcr(say=lambda _: ["增值税专用发票"]), "cpu")):
        photo, other = [
            await immich.upload(stubs.picture(number), owner=owner, file_name=f"{number}.jpg") for number in (1, 2)
        ]
        await idle(own)
    ann = await home.person(owner, "user.read", "asset.read")
    path = f"/api/assets/{photo}/similar"
    for by, kind, text in (("meaning", "meaning", ""), ("words", "text", "增值税专用发票")):
        reply = await ann.get(path, by=by)
        assert {name: reply.json[name] for name in ("by", "fileName", "next", "missing")} == {
            **{"by": by, "fileName": "1.jpg", "next": None, "missing": None}
        }
        [item] = reply.json["items"]
        assert (item["assetId"], item["why"]["kind"], item["why"]["text"]) == (str(other), kind, text)
    assert (await ann.get(path, limit="1", offset="1")).json["items"] == []
    eve = await home.person(await immich.create_user("eve"))
    assert (await eve.get(path)).status == (await ann.get(f"/api/assets/{uuid4()}/similar")).status == 404
    assert (await (await home.person(owner, "user.read")).get(path)).status == 403
    assert (await ann.get(path, by="colour")).status == 400
