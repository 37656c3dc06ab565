"""An indexer whose CLIP model has no weights yet: text is read at once, and once, and vectors follow."""

import hashlib

import numpy as np

from indexer import images
from indexer.models.fetcher import Fetcher, Pace
from indexer.models.files.published import PublishedFile
from indexer.models.model_files import ModelFiles
from indexer.views import status
from indexer.work.pace import WorkerPace
from indexer.work.worker import Models
from tests.support import stubs
from tests.support.hosts import hosted_clip, hosted_ocr
from tests.support.sources import host as serve
from tests.support.stubs import StubClip, StubOcr
from tests.support.workers import eventually, idle, is_indexed, lines_of, settings_for, vector_of, working

CONTENT = b"weights of a model" * 1000
QUICK = WorkerPace(idle=0.1, downloads=0.05)


async def test_text_first_and_once_then_vectors(database, immich, connection, owner, tmp_path):
    read: list[bytes] = []

    def say(rgb: np.ndarray) -> list[str]:
        read.append(stubs.digest_of(rgb))
        return [stubs.text_of(rgb)]

    assets = [await immich.upload(stubs.picture(number), owner=owner) for number in range(3)]
    with serve({"/clip.pt": CONTENT}) as host:
        host.status = 503
        address = f"{host.address}/clip.pt"
        file = PublishedFile(tmp_path / "clip.pt", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), (address,))
        pace = Pace(look=0.02, first=0.05, longest=0.1, copying=0)
        fetcher = Fetcher([ModelFiles("clip", "a model", (file,))], pace=pace)
        models = Models(hosted_clip(StubClip(), wanting=lambda: fetcher.missing("clip")), hosted_ocr(StubOcr(say=say)))
        fetcher.watch(models.engines["clip"].wake)
        async with working(settings_for(database, immich.media.directory, max_attempts=1), models, fetcher, pace=QUICK):
            assets.append(await immich.upload(stubs.picture(3), owner=owner))

            async def texts() -> bool:
                return all([await lines_of(connection, asset) for asset in assets])

            await eventually(texts)
            assert [await vector_of(connection, asset) for asset in assets] == [None] * 4
            assert len(await immich.ocr_filter([stubs.expected_text(0)], owner)) == 1

            async def told() -> status.Status | None:
                state = await status.look(connection)
                return state if state.weights and state.weights[0].trouble and state.queue.waiting else None

            state = await eventually(told)
            (download,) = state.weights
            assert (download.model, download.size, download.arrived) == ("a model", len(CONTENT), 0)
            assert "503" in download.sentence
            assert state.failures == []

            host.status = 200
            await eventually(lambda: connection.fetchval("SELECT count(*) = 4 FROM smart_search"))
            await idle(connection)
            for number, asset in enumerate(assets):
                assert await is_indexed(connection, asset, stubs.picture(number))

            async def silent() -> bool:
                return not (await status.look(connection)).weights

            await eventually(silent)
            assert (await status.look(connection)).indexed == 4
    pictures = [images.decode(stubs.picture(number), max_pixels=10**6).rgb for number in range(4)]
    assert [read.count(stubs.digest_of(rgb)) for rgb in pictures] == [1] * 4
