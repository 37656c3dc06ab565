"""What the doctor says of a GPU, of other servers (who would answer for faces, does Immich itself), of the database."""

import asyncio
import errno
import hashlib
import json

import asyncpg
import onnxruntime
import pytest
from aiohttp.test_utils import TestServer

from indexer import images
from indexer.database import owners, schema
from indexer.demo.api import Api
from indexer.demo.immich import StandIn
from indexer.models.faces.weights import FILES, FaceFile, FaceFiles
from indexer.models.runtimes import openvino
from indexer.models.runtimes.gpu import Card
from indexer.queue import requests
from indexer.work import doctor
from indexer.work.device import device_finding
from indexer.work.finding import Finding
from tests.conftest import IMMICH_ROLE
from tests.support.installs import install, make_role
from tests.support.stubs import CUDA_13, RTX_4090, StubDriver
from tests.support.upstreams import MlServer, ml_servers
from tests.support.workers import settings_for

NO_DATABASE = "postgresql://127.0.0.1:1/immich"


@pytest.fixture
def of_faces(tmp_path):
    async def examine(**settings) -> Finding:
        settings = {"face_download_root": tmp_path / "weights", "immich_ml_url": ""} | settings
        findings = await doctor.examine(settings_for(NO_DATABASE, tmp_path, tasks="ocr", **settings))
        (found,) = [finding for finding in findings if finding.check == "faces"]
        return found

    return examine


@pytest.mark.parametrize(("tasks", "verdict"), [("clip,ocr", "advice"), ("clip", "ok")])
def test_a_gpu_that_onnx_runtime_cannot_use(tmp_path, monkeypatch, tasks, verdict):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    settings = settings_for(NO_DATABASE, tmp_path, tasks=tasks, device="auto")
    found = device_finding(settings, StubDriver((13, 0), [RTX_4090]), CUDA_13)
    assert (found.check, found.verdict) == ("device", verdict)
    assert ("onnxruntime-gpu" in found.text) == (verdict == "advice")


def test_a_gpu_that_torch_cannot_use(tmp_path):
    driver = StubDriver((13, 0), [Card("NVIDIA GeForce GTX 1080", (6, 1), 8 << 30)])
    found = device_finding(settings_for(NO_DATABASE, tmp_path, device="auto"), driver, CUDA_13)
    assert found.verdict == "advice"
    assert "GTX 1080 has compute capability 6.1" in found.text
    found = device_finding(settings_for(NO_DATABASE, tmp_path, device="cuda"), driver, CUDA_13)
    assert found.verdict == "fails"
    assert "GTX 1080 has compute capability 6.1" in found.text


def test_intels_graphics(tmp_path):
    def found(*devices: str) -> Finding:
        settings = settings_for(NO_DATABASE, tmp_path, device="openvino:GPU", tasks="clip")
        return device_finding(settings, found=lambda: devices)

    there, missing = found("CPU", "GPU"), found("CPU")
    assert (there.verdict, there.text) == ("ok", "cpu, and openvino:GPU for CLIP's pictures if it is faster, 2 threads")
    assert missing.verdict == "fails"
    assert "OpenVINO finds no Intel graphics, only CPU: install Intel's OpenCL driver" in missing.text


def test_what_reads_the_text(tmp_path, monkeypatch):
    def found(**settings) -> Finding:
        return device_finding(settings_for(NO_DATABASE, tmp_path, device="cpu", **settings))

    text = found(ocr_runtime="openvino", ocr_precision="fp32", tasks="ocr").text
    assert text.endswith("text is read with OpenVINO: OCR_RUNTIME=openvino")
    assert "text" not in found(tasks="clip").text
    monkeypatch.setattr(openvino, "is_installed", lambda: False)
    assert found(tasks="ocr").text.endswith("text is read with ONNX Runtime: OpenVINO is not installed")
    missing = found(ocr_runtime="openvino", tasks="ocr")
    assert missing.verdict == "fails"
    assert "pip install 'immich-indexer[openvino]'" in missing.text


async def test_servers_that_answer(of_faces):
    async with ml_servers(2) as [server, other]:
        found = await of_faces(immich_ml_url=f"{server.url},{other.url}")
        assert found == Finding("faces", "ok", f"{server.url}: answers, {other.url}: answers")


async def test_one_server_of_several_is_away(of_faces):
    async with ml_servers() as [server]:
        found = await of_faces(immich_ml_url=f"{server.url},{MlServer().url}")
        assert found.verdict == "advice"
        assert "refused" in found.text


@pytest.mark.parametrize("trouble", ["refused", "500", "hangs"])
async def test_nobody_answers(of_faces, trouble):
    async with ml_servers() as [server]:
        if trouble == "refused":
            await server.stop()
        server.ping = 500
        server.hold = asyncio.Event() if trouble == "hangs" else None
        found = await of_faces(immich_ml_url=server.url.replace("http://", "http://me:secret@"))
        assert found.verdict == "fails"
        assert server.url in found.text
        assert {"hangs": "no answer"}.get(trouble, trouble) in found.text
        assert "IMMICH_ML_URL" in found.text
        assert "secret" not in found.text


async def test_neither_a_server_nor_weights(of_faces):
    found = await of_faces()
    assert found.verdict == "advice"
    assert "IMMICH_ML_URL" in found.text
    assert "models fetch --faces" in found.text


async def test_weights_here(of_faces, tmp_path, monkeypatch):
    content = b"a network"
    entries = [FaceFile(name, "", len(content), hashlib.sha256(content).hexdigest()) for name in ("d.onnx", "r.onnx")]
    monkeypatch.setitem(FILES, "tiny", FaceFiles(*entries))
    folder = tmp_path / "weights" / "tiny"
    folder.mkdir(parents=True)
    for entry in entries:
        assert (await of_faces(face_model="tiny")).verdict == "advice"
        (folder / entry.name).write_bytes(content)
    assert await of_faces(face_model="tiny") == Finding("faces", "ok", f"tiny, {folder}")
    (folder / "r.onnx").write_bytes(b"another")
    found = await of_faces(face_model="tiny")
    assert found.verdict == "advice"
    assert "r.onnx is damaged or not what was published" in found.text
    assert "models fetch --faces" in found.text
    (folder / "r.onnx").write_bytes(content)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    found = await of_faces(face_model="tiny")
    assert found.verdict == "fails"
    assert "immich-indexer[faces]" in found.text


async def test_weights_of_clip(tmp_path, monkeypatch):
    async def examine(**settings) -> Finding:
        settings = {"clip_download_root": tmp_path, "immich_ml_url": "http://127.0.0.1:1"} | settings
        findings = await doctor.examine(settings_for(NO_DATABASE, tmp_path, tasks="clip", **settings))
        (found,) = [finding for finding in findings if finding.check == "weights"]
        return found

    monkeypatch.setenv("WEIGHTS_SOURCE", "auto")
    missing = await examine(clip_model="RN50")
    assert missing.verdict == "advice"
    assert f"{tmp_path / 'clip_cn_rn50.pt'} (308316425 bytes) is missing" in missing.text
    assert "`immich-indexer run` fetches them by itself" in missing.text
    (tmp_path / "clip_cn_rn50.pt.part").write_bytes(b"!" * 3_100_000)
    assert "1 % of 308 MB fetched" in (await examine(clip_model="RN50")).text
    assert (await examine(clip_model="RN50", weights_source="none")).verdict == "fails"
    (tmp_path / "clip_cn_rn50.pt").write_bytes(b"damaged")
    assert "is damaged or not what was published" in (await examine(clip_model="RN50")).text
    own = await examine(clip_model=str(tmp_path / "own.pt"))
    assert own.verdict == "fails"
    assert f"put {tmp_path / 'own.pt'} and {tmp_path / 'own.json'} there" in own.text


async def test_a_model_that_nobody_knows(of_faces):
    found = await of_faces(face_model="buffalo_x")
    assert found.verdict == "fails"
    assert "unknown FACE_MODEL" in found.text


@pytest.fixture
async def of_immich(immich: StandIn, owner, tmp_path):
    async def examine(*permissions: str, key: str | None = None) -> Finding:
        key = await immich.create_key(owner, *permissions) if permissions else key
        async with TestServer(Api(immich.database).application()) as server:
            settings = settings_for(
                NO_DATABASE, tmp_path, tasks="ocr", immich_url=str(server.make_url("")), immich_api_key=key
            )
            (found,) = [found for found in await doctor.examine(settings) if found.check == "Immich itself"]
            return found

    return examine


@pytest.mark.parametrize("permissions", [["all"], ["tag.asset", "job.create"]])
async def test_a_key_that_may(of_immich, permissions):
    assert (await of_immich(*permissions)).verdict == "ok"


async def test_a_key_that_lacks_something(of_immich):
    found = await of_immich("tag.asset", "asset.read")
    assert found.verdict == "advice"
    assert "lacks the permission job.create" in found.text


async def test_a_key_that_immich_does_not_know(of_immich):
    found = await of_immich(key="nonsense")
    assert found.verdict == "fails"
    assert "IMMICH_API_KEY" in found.text
    assert "nonsense" not in found.text


async def test_immich_without_a_key(of_immich):
    found = await of_immich()
    assert found.verdict == "advice"
    assert "Without IMMICH_API_KEY" in found.text


@pytest.mark.parametrize(("url", "verdict"), [("", "advice"), ("http://127.0.0.1:9", "fails")])
async def test_an_immich_that_cannot_be_asked(tmp_path, url, verdict):
    findings = await doctor.examine(settings_for(NO_DATABASE, tmp_path, tasks="ocr", immich_url=url))
    (found,) = [found for found in findings if found.check == "Immich itself"]
    assert found.verdict == verdict
    assert "IMMICH_URL" in found.text


@pytest.fixture
async def of_database(own: asyncpg.Connection, database: str, tmp_path):
    async def examine(check: str) -> Finding:
        findings = await doctor.examine(settings_for(database, tmp_path, tasks="clip"))
        (found,) = [finding for finding in findings if finding.check == check]
        return found

    return examine


async def test_right_after_the_start_it_lets_the_indexer_install(database: str, tmp_path, monkeypatch):
    """README's two lines are pasted together."""
    looked, version = asyncio.Event(), schema.version

    async def watched(connection: asyncpg.Connection) -> int:
        looked.set()
        return await version(connection)

    monkeypatch.setattr(schema, "version", watched)
    examining = asyncio.create_task(doctor.examine(settings_for(database, tmp_path, tasks="ocr")))
    await looked.wait()
    await install(database)
    assert [found.verdict for found in await examining if found.check == "our schema"] == ["ok"]


async def test_without_our_schema_it_names_the_command_that_makes_it(database: str, tmp_path):
    findings = await doctor.examine(settings_for(database, tmp_path, tasks="ocr"), patience=0)
    (found,) = [found for found in findings if found.check == "our schema"]
    assert found.verdict == "fails"
    assert "run `immich-indexer install`" in found.text


FOREIGN = "other models' vectors"
ALIVE = """INSERT INTO immich_indexer.worker (id, name, version, device, seen_at)
    VALUES (gen_random_uuid(), 'host:1', '0', 'cpu', now())"""


@pytest.fixture
async def foreign(immich: StandIn, owner, own: asyncpg.Connection):
    """A photo that Immich's own job gave its vector, and that nobody has asked us to read."""
    asset = await immich.upload(b"a picture", owner=owner)
    await immich.immich_clip_job(asset, [1.0] + [0.0] * 511)
    await own.execute("TRUNCATE immich_indexer.inbox, immich_indexer.job")
    return asset


async def test_a_vector_of_another_model_is_for_backfill(of_database, foreign, own):
    found = await of_database(FOREIGN)
    assert found.verdict == "advice"
    assert found.text.startswith("1 photos have a vector of another model")
    assert "`immich-indexer backfill`, and start `immich-indexer run`" in found.text
    await own.execute(ALIVE)
    assert (await of_database(FOREIGN)).text.endswith("`immich-indexer backfill`")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE asset SET \"deletedAt\" = now(), status = 'trashed'",
        "UPDATE asset SET visibility = 'hidden'",
        'UPDATE asset SET "isOffline" = true',
        "DELETE FROM asset_file",
    ],
    ids=["trashed", "hidden", "offline", "no preview"],
)
async def test_vectors_of_photos_that_nobody_reads_are_not_complained_of(of_database, foreign, immich, own, change):
    await immich.database.execute(change)
    await own.execute("TRUNCATE immich_indexer.inbox")
    assert await of_database(FOREIGN) == Finding(FOREIGN, "ok", "none")


@pytest.mark.parametrize("folded", [False, True])
async def test_vectors_of_photos_that_are_being_read(of_database, foreign, own, folded):
    await requests.request(own, [foreign], {"clip"})
    if folded:
        await own.execute(
            "INSERT INTO immich_indexer.job (asset_id, tasks, priority) VALUES ($1, '{clip}', 20)", foreign
        )
    found = await of_database(FOREIGN)
    assert (found.verdict, "start `immich-indexer run`" in found.text) == ("advice", True)
    await own.execute(ALIVE)
    assert await of_database(FOREIGN) == Finding(
        FOREIGN, "ok", "1 photos with a vector of another model are being read now"
    )


async def test_vectors_of_photos_that_were_given_up(of_database, foreign, own):
    await own.execute(
        "INSERT INTO immich_indexer.job (asset_id, tasks, priority, dead) VALUES ($1, '{clip}', 20, true)", foreign
    )
    found = await of_database(FOREIGN)
    assert found.verdict == "advice"
    assert "backfill" not in found.text
    assert "`immich-indexer retry`" in found.text


@pytest.mark.parametrize("immich_version", ["3.1", "2.7"])
@pytest.mark.parametrize("index", [True, False])
async def test_of_the_settings_it_says_what_install_says(
    of_database, database, connection, immich, immich_version, index
):
    if not index:  # as while VectorChord's is there instead
        await immich.database.execute("DROP INDEX clip_index")
    newer = await connection.fetchval("SELECT current_setting('server_version_num')::integer >= 170000")
    found = await of_database("database settings")
    assert found.verdict == ("advice" if index and (newer or immich_version == "2.7") else "ok")
    noted = [note for note in (await install(database)).notes if "hnsw" in note]
    assert noted == ([found.text] if found.verdict == "advice" else [])


async def test_previews_that_this_user_may_not_read(database, immich, owner, monkeypatch):
    await immich.upload(b"a picture", owner=owner)
    monkeypatch.setattr(images, "read", refused)
    findings = await doctor.examine(settings_for(database, immich.media.directory, tasks="clip"), patience=0)
    (found,) = [finding for finding in findings if finding.check == "media"]
    assert found.verdict == "fails"
    assert "permission denied for user" in found.text
    assert "INDEXER_UID" in found.text
    assert "MEDIA_PATH_MAP" not in found.text


def refused(*_: object, **__: object) -> bytes:
    raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize(("check", "verdict"), [("weights", "fails"), ("faces", "advice")])
async def test_folders_of_weights_that_cannot_be_looked_into(tmp_path, check, verdict):
    closed = tmp_path / "a file"
    closed.touch()
    settings = {"clip_download_root": closed, "face_download_root": closed, "immich_ml_url": ""}
    findings = await doctor.examine(settings_for(NO_DATABASE, tmp_path, tasks="clip", **settings))
    (found,) = [finding for finding in findings if finding.check == check]
    assert found.verdict == verdict
    assert "Not a directory" in found.text
    assert "let user" in found.text


async def test_an_owner_whose_name_immich_cannot_overwrite(of_database, superuser_url, connection, monkeypatch):
    assert (await of_database("backups")).verdict == "ok"
    await connection.execute("ALTER TABLE immich_indexer.heard OWNER TO pg_monitor")
    found = await of_database("backups")
    assert found.verdict == "fails"
    assert f"pg_monitor, a longer name than that of Immich's own database user, {IMMICH_ROLE}" in found.text
    assert "-f sql/role.sql" in found.text
    assert "DB_USERNAME=ii" in found.text
    assert found.text in (await install(superuser_url)).notes
    await make_role(superuser_url)
    assert (await of_database("backups")).verdict == "ok"
    await connection.execute("ALTER TABLE immich_indexer.heard OWNER TO pg_monitor")
    monkeypatch.setattr(owners, "ROLE", "pg_monitor")  # as for an Immich whose user has a single letter
    assert f"REASSIGN OWNED BY pg_monitor TO {IMMICH_ROLE}" in (await of_database("backups")).text


async def test_why_a_model_does_not_run_where_it_should(database, own: asyncpg.Connection, tmp_path):
    worker = await own.fetchval(f"{ALIVE} RETURNING id::text")
    why = "the processor computes CLIP's pictures, not Intel's graphics: they would take 130% of the processor's time"
    told = {"clip": {"state": "ready", "since": "2026-11-01T00:00:00+00:00", "reason": why}}
    await own.execute(
        "INSERT INTO immich_indexer.state (key, value) VALUES ($1, $2)", f"engines {worker}", json.dumps(told)
    )
    findings = await doctor.examine(settings_for(database, tmp_path, tasks="ocr"))
    (found,) = [found for found in findings if found.check == "models at work"]
    assert (found.verdict, found.text) == ("advice", f"none is sick; host:1: {why}")
