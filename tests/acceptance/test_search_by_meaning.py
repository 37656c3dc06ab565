"""Meaning for real: pictures through the indexer, texts through the gateway, both by a CLIP model that was trained.

It is the demo's (`indexer.demo.drawn`), which knows drawn shapes and nothing else.
"""

from collections.abc import AsyncIterator
from random import Random
from urllib.parse import urlencode
from uuid import UUID

import pytest
from aiohttp.test_utils import TestServer

from gateway.models import LazyModels
from indexer.demo.api import Api
from indexer.demo.drawn import WEIGHTS
from indexer.demo.drawn.captions import Caption
from indexer.demo.drawn.scenes import Scene, draw, encoded, invent
from indexer.demo.drawn.train import held_out_pool
from indexer.demo.immich import StandIn
from indexer.demo.shapes import SCENES, SEARCHES, shown_by
from indexer.models.clip.cn_clip.on_torch import Clip, load_clip
from indexer.work.worker import Models
from tests.support.gateways import TEXT, Client, serving, stub_models
from tests.support.installs import install
from tests.support.workers import idle, settings_for, working


@pytest.fixture(scope="module")
def clip() -> Clip:
    return load_clip(str(WEIGHTS), threads=1)


@pytest.fixture
async def library(database: str, immich: StandIn, owner: UUID, clip: Clip, connection) -> dict[str, Scene]:
    """The demo's drawn shapes, 30 held-out scenes and 30 others, indexed; by file name."""
    chance = Random(21)
    scenes = {f"shapes-{name}.jpeg": scene for name, scene in SCENES.items()}
    scenes |= {f"held-out-{at}.jpeg": scene for at, scene in enumerate(held_out_pool(chance, 30)[0])}
    scenes |= {f"other-{at}.jpeg": invent(chance) for at in range(30)}
    await install(database)
    settings = settings_for(database, immich.media.directory, tasks="clip")
    async with working(settings, Models(clip, None, "cpu")):
        for name, scene in scenes.items():
            await immich.upload(encoded(draw(scene, 480, 360)), owner=owner, file_name=name)
        await idle(connection, seconds=100)
    return scenes


@pytest.fixture
async def gateway(database: str, immich: StandIn, clip: Clip) -> AsyncIterator[Client]:
    models = LazyModels(clip, None, stub_models()[0].load_pictures)
    async with TestServer(Api(immich.database).application()) as api:
        settings = settings_for(database, immich.media.directory, tasks="clip", immich_url=str(api.make_url("/")))
        async with serving(settings, models) as client:
            yield client


@pytest.mark.timeout(240)
async def test_the_right_picture_comes_first(
    library: dict[str, Scene], gateway: Client, immich: StandIn, owner: UUID, connection
):
    key = await immich.create_key(owner, "asset.read", "user.read")
    names = {row["id"]: row["originalFileName"] for row in await connection.fetch("SELECT * FROM asset")}

    async def found(said: Caption, mode: str) -> list[str]:
        path = "/api/search?" + urlencode({"q": said.text, "mode": mode, "limit": len(library)})
        answer = await gateway.get(path, {"x-api-key": key})
        assert answer.status == 200, answer.json
        return [item["fileName"] for item in answer.json["items"]]

    async def in_immichs_own_box(said: Caption) -> list[str]:
        vector = (await gateway.ask(TEXT, text=said.text)).vector
        return [names[asset] for asset in await immich.smart_search(vector, owner)]

    asked = [(said, shown_by(said)[0]) for said in SEARCHES]
    _, captions = held_out_pool(Random(21), 30)
    asked += [(said, f"held-out-{at}.jpeg") for at, said in enumerate(captions)]
    right: dict[str, int] = {"clip": 0, "hybrid": 0, "immich": 0}
    for said, name in asked:
        expected = {other for other, scene in library.items() if said.true_of(scene)}
        assert name in expected
        for mode in ("clip", "hybrid"):
            order = await found(said, mode)
            assert len(order) == len(library)
            right[mode] += order[0] in expected
        right["immich"] += (await in_immichs_own_box(said))[0] in expected
    assert min(right.values()) >= 0.9 * len(asked), right
