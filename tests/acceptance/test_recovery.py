"""An upstream for faces was away and came back: what Immich forgot is asked for again, through its own API."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from yarl import URL

from gateway.metrics import Metrics
from gateway.ml.forward import Forwarder
from gateway.ml.recovery import Recovery
from gateway.ml.upstream import Upstreams
from indexer.database.pool import connect_to_immich
from indexer.demo.immich import StandIn
from indexer.errors import SettingsError
from indexer.immich import forgotten
from indexer.immich.api import Immich, ImmichBusyError, ImmichError
from indexer.immich.forgotten import Forgotten
from indexer.models.faces import weights as face_weights
from indexer.views import status
from tests.support import stubs
from tests.support.installs import install
from tests.support.upstreams import MlServer, ml_servers, until
from tests.support.workers import eventually, settings_for, working

KEY = "a key of an administrator"


class Library:
    """What is forgotten; a job that Immich starts takes `helps` of it away. `looks`: when somebody looked."""

    def __init__(self, faces: int = 0, duplicates: int = 0) -> None:
        self.faces, self.duplicates = faces, duplicates
        self.helps = 1_000_000
        self.away = False
        self.looks: list[float] = []

    async def look(self, older: timedelta) -> Forgotten:
        self.looks.append(asyncio.get_running_loop().time())
        if self.away:
            raise ConnectionRefusedError("the database is away")
        return Forgotten(self.faces, self.duplicates)


class Api:
    """Immich's API for jobs, as its source has it."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.started: list[str] = []
        self.times: list[tuple[float, float]] = []  # of each start: of the look before it, and of itself
        self.refuse: tuple[int, str] | None = None
        self.refused = 0

    async def start(self, request: web.Request) -> web.Response:
        if request.headers.get("x-api-key") != KEY:
            return web.json_response({"message": "Invalid API key"}, status=401)
        name = request.match_info["name"]
        assert name in ("faceDetection", "duplicateDetection")
        assert await request.json() == {"command": "start", "force": False}
        if self.refuse is not None:
            self.refused += 1
            return web.json_response({"message": self.refuse[1]}, status=self.refuse[0])
        self.started.append(name)
        self.times.append((self.library.looks[-1], asyncio.get_running_loop().time()))
        if name == "faceDetection":
            self.library.faces = max(0, self.library.faces - self.library.helps)
        else:
            self.library.duplicates = max(0, self.library.duplicates - self.library.helps)
        return web.json_response({"jobCounts": {"active": 0, "waiting": 1}, "queueStatus": {"isActive": False}})


@contextlib.asynccontextmanager
async def immich_api(library: Library) -> AsyncIterator[tuple[Api, Immich]]:
    api = Api(library)
    app = web.Application()
    app.router.add_put("/api/jobs/{name}", api.start)
    async with TestServer(app) as server:
        immich = Immich(str(server.make_url("")), KEY)
        yield api, immich
        await immich.close()


@contextlib.asynccontextmanager
async def recovering(recovery: Recovery) -> AsyncIterator[None]:
    task = asyncio.create_task(recovery.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def looked(library: Library, times: int) -> None:
    """All of so many more rounds is over."""
    seen = len(library.looks)
    await until(lambda: len(library.looks) > seen + times)


async def test_faces_are_asked_for_again_once_an_upstream_is_back():
    library, server = Library(), MlServer()
    await server.start()
    async with (
        immich_api(library) as (api, immich),
        Upstreams([URL(server.url)], check=0.05, wait=0.1) as pool,
        recovering(Recovery(library.look, immich, pool, interval=0.05, settle=0.01)),
    ):
        await looked(library, 1)
        assert api.started == []
        await server.stop()
        await until(lambda: not pool.well)
        library.faces = 12  # photos came, and nobody answered Immich
        await looked(library, 2)
        assert api.started == []
        await server.start()
        await until(lambda: api.started == ["faceDetection"])
        assert library.faces == 0
        await looked(library, 2)
        assert api.started == ["faceDetection"]
        await server.stop()


async def test_what_was_lost_while_the_gateway_itself_was_away():
    library = Library(faces=3)
    async with (
        ml_servers() as [server],
        immich_api(library) as (api, immich),
        Upstreams([URL(server.url)], check=0.05) as pool,
        recovering(Recovery(library.look, immich, pool, settle=0.05)),
    ):
        await until(lambda: api.started == ["faceDetection"])


async def test_duplicates_of_rows_that_we_wrote():
    library = Library(duplicates=5)
    async with (
        immich_api(library) as (api, immich),
        recovering(Recovery(library.look, immich, None, settle=0.01)),
    ):
        await until(lambda: api.started == ["duplicateDetection"])


async def test_not_more_often_than_the_interval_and_less_often_where_it_brings_nothing():
    library = Library(faces=10)
    library.helps = 0
    async with (
        immich_api(library) as (api, immich),
        recovering(Recovery(library.look, immich, None, interval=0.1, settle=0.01)),
    ):
        await until(lambda: len(api.started) == 4)
    for (looked_before, _), (_, started), pause in zip(api.times, api.times[1:], (0.1, 0.2, 0.4), strict=False):
        assert started - looked_before >= pause


async def test_at_every_interval_while_it_helps():
    library = Library(faces=10)
    library.helps = 1
    async with (
        immich_api(library) as (api, immich),
        recovering(Recovery(library.look, immich, None, interval=0.05, settle=0.01)),
    ):
        await until(lambda: len(api.started) == 5)
        assert len(library.looks) == 5
    for (looked_before, _), (_, started) in zip(api.times, api.times[1:], strict=False):
        assert started - looked_before >= 0.05


async def test_nobody_who_could_answer_for_faces(tmp_path, database):
    library = Library(faces=3, duplicates=1)
    weights = tmp_path / "buffalo_l"
    forwarder = Forwarder(settings_for(database, tmp_path, face_download_root=tmp_path), Metrics())
    async with (
        immich_api(library) as (api, immich),
        recovering(Recovery(library.look, immich, forwarder, interval=0.05, settle=0.01)),
    ):
        await until(lambda: api.started == ["duplicateDetection"])
        await looked(library, 1)
        assert api.started == ["duplicateDetection"], "faces are asked for, and nobody is there to look for them"
        weights.mkdir()
        for file in face_weights.files_of("buffalo_l"):
            (weights / file.name).touch()
        await until(lambda: api.started == ["duplicateDetection", "faceDetection"])


async def test_an_upstream_that_comes_and_goes_starts_nothing_twice():
    library, server = Library(faces=100), MlServer()
    library.helps = 1
    async with (
        immich_api(library) as (api, immich),
        Upstreams([URL(server.url)], check=0.05) as pool,
        recovering(Recovery(library.look, immich, pool, interval=60, settle=0.01)),
    ):
        for _ in range(4):
            seen = len(library.looks)
            await server.start()
            await until(lambda seen=seen: pool.well and len(library.looks) > seen)
            await server.stop()
            await until(lambda: not pool.well)
    assert api.started == ["faceDetection"]


@pytest.mark.parametrize("refuse", [(400, "Job is already running"), (500, "Internal server error")])
async def test_immich_is_asked_again_when_it_could_not(refuse):
    library = Library(faces=1)
    async with immich_api(library) as (api, immich):
        api.refuse = refuse
        recovery = Recovery(library.look, immich, None, settle=0.01, look_again=0.1)
        async with recovering(recovery):
            await until(lambda: api.refused >= 2)  # it went on asking, and has read the first answer
            assert api.started == []
            assert bool(recovery.state()["trouble"]) == (refuse[0] == 500)
            api.refuse = None
            await until(lambda: api.started == ["faceDetection"])
            await until(lambda: not recovery.state()["trouble"])


async def test_a_database_that_is_away_is_asked_again():
    library = Library(faces=1)
    library.away = True
    async with (
        immich_api(library) as (api, immich),
        recovering(Recovery(library.look, immich, None, settle=0.01, look_again=0.05)),
    ):
        await looked(library, 1)
        library.away = False
        await until(lambda: api.started == ["faceDetection"])


async def test_without_a_key_there_is_advice():
    library = Library(faces=12, duplicates=1)
    recovery = Recovery(library.look, None, None, settle=0.01)
    async with recovering(recovery):
        await until(lambda: recovery.forgotten.faces == 12)
    state = recovery.state()
    assert (state["faces"], state["duplicates"]) == (12, 1)
    faces, duplicates = state["advice"]
    assert "12 photos" in faces
    assert "Face detection > Missing" in faces
    assert "1 photo with" in duplicates
    assert "Duplicate Detection > Missing" in duplicates


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_that_may_not(status):
    async with immich_api(Library()) as (api, immich):
        api.refuse = (status, "Forbidden")
        with pytest.raises(ImmichError, match=rf"\({status}\).*administrator.*job.create") as caught:
            await immich.start_missing("faceDetection")
    assert KEY not in str(caught.value)


async def test_what_immich_may_say():
    async with immich_api(Library()) as (api, immich):
        api.refuse = (400, "Job is already running")
        with pytest.raises(ImmichBusyError):
            await immich.start_missing("faceDetection")
        api.refuse = (404, "Cannot PUT /api/jobs/faceDetection")
        with pytest.raises(ImmichError, match=r"404.*check IMMICH_URL"):
            await immich.start_missing("faceDetection")
    nobody = Immich(f"http://127.0.0.1:{unused_port()}/api/", KEY)
    with pytest.raises(ImmichError, match=r"cannot reach Immich.*IMMICH_URL"):
        await nobody.start_missing("faceDetection")
    await nobody.close()
    with pytest.raises(SettingsError, match="IMMICH_URL"):
        Immich("immich-server:2283", KEY)


async def test_what_is_forgotten_as_the_database_has_it(immich: StandIn, tmp_path, database, connection):
    await install(database)
    settings = settings_for(database, tmp_path / "media")
    owner = await immich.create_user("anna")
    async with working(settings):
        photos = [await immich.upload(stubs.picture(number), owner=owner) for number in range(4)]
        own = await connect_to_immich(database)
        try:
            await eventually(lambda: own.fetchval("SELECT count(*) = 4 FROM smart_search"))
            now = timedelta(seconds=-1)
            assert await forgotten.look(own, older=now) == Forgotten(faces=4, duplicates=4)
            assert await forgotten.look(own) == Forgotten(), "Immich has its time"
            await immich.immich_faces_job(photos[0])
            await immich.trash(photos[1])
            await immich.hide(photos[2])
            await connection.execute(
                'UPDATE asset_job_status SET "duplicatesDetectedAt" = now() WHERE "assetId" = $1', photos[3]
            )
            assert await forgotten.look(own, older=now) == Forgotten(faces=1, duplicates=1)
            await connection.execute("UPDATE asset_file SET \"createdAt\" = now() - interval '1 hour'")
            [advice] = (await status.look(own)).advice
            assert "faces in 1 photo and" in advice
        finally:
            await own.close()
