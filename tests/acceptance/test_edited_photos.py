"""An edited photo has two previews, and from 3.2 on Immich sends the one for its faces and the other for all else."""

import asyncio

import pytest

from indexer.demo import media
from tests.support import stubs
from tests.support.gateways import CLIP, FACES, OCR, form, serving, stub_models
from tests.support.upstreams import FACES as FOUND
from tests.support.upstreams import ml_servers
from tests.support.workers import eventually, idle, is_indexed, settings_for, vector_of, working

STORED = "SELECT digest, clip_model, lines FROM immich_indexer.photo WHERE asset_id = $1"
BUSY = """INSERT INTO immich_indexer.worker (id, name, version, device, seen_at)
    VALUES (gen_random_uuid(), 'busy', '0', 'cpu', now() + interval '1 hour')"""


@pytest.mark.parametrize("immich_version", ["3.1", "3.2", "3.3"])
async def test_each_request_is_answered_for_the_picture_it_carries(
    database, immich, connection, owner, tmp_path, immich_version
):
    settings = settings_for(database, immich.media.directory, gateway_wait_seconds=30)
    async with working(settings):
        asset = await immich.upload(stubs.picture(1), owner=owner)
        await eventually(lambda: is_indexed(connection, asset, stubs.picture(1)))
        await immich.edit(asset, crop=(0, 0, 4, 4))
        await idle(connection)
        stored = tuple(await connection.fetchrow(STORED, asset))
    sent = {task: await immich.ml_picture(asset, task) for task in ("clip", "ocr", "facial-recognition")}
    assert media.size(sent["facial-recognition"]) == ((4, 4) if immich_version >= "3.2" else (8, 8))

    models, loaded = stub_models()
    async with ml_servers() as [server]:
        ours = settings.model_copy(update={"immich_ml_url": server.url})
        async with serving(ours, models, forward=None) as client:
            # Another photo is on its way: what asks for the bytes of a photo would wait for it, faces do not.
            await connection.execute(BUSY)
            waiting = await immich.upload(stubs.picture(2), owner=owner)
            async with asyncio.timeout(20):
                faces = await client.ask(FACES, sent["facial-recognition"])
                ocr, clip = await client.ask(OCR, sent["ocr"]), await client.ask(CLIP, sent["clip"])
    assert (faces.status, faces.json) == (200, FOUND)
    assert server.bodies == [form(FACES, sent["facial-recognition"])]
    assert ocr.json["ocr"]["text"] == [stubs.expected_text(1)]
    assert (clip.vector == await vector_of(connection, asset)).all()
    assert loaded == [], "what the indexer wrote of the unedited preview is the answer"
    assert tuple(await connection.fetchrow(STORED, asset)) == stored
    assert await connection.fetchrow(STORED, waiting) is None
