"""What the doctor says of a GPU, and of other servers: who would answer Immich for faces, and does Immich itself."""

import asyncio
import hashlib

import onnxruntime
import pytest
import torch
from aiohttp.test_utils import TestServer

from indexer import doctor
from indexer.demo.api import Api
from indexer.demo.immich import StandIn
from indexer.doctor import Finding
from indexer.models.face_weights import FILES, FaceFile, FaceFiles
from tests.acceptance.upstreams import MlServer, ml_servers
from tests.workers import settings_for

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
async def test_a_gpu_that_onnx_runtime_cannot_use(tmp_path, monkeypatch, tasks, verdict):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    found, *_ = await doctor.examine(settings_for(NO_DATABASE, tmp_path, tasks=tasks, device="auto"))
    assert (found.check, found.verdict) == ("device", verdict)
    assert ("onnxruntime-gpu" in found.text) == (verdict == "advice")


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
    assert found.verdict == "fails"
    assert "r.onnx" in found.text
    assert "models fetch --faces" in found.text
    (folder / "r.onnx").write_bytes(content)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    found = await of_faces(face_model="tiny")
    assert found.verdict == "fails"
    assert "immich-indexer[faces]" in found.text


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
    assert "without IMMICH_API_KEY" in found.text


@pytest.mark.parametrize(("url", "verdict"), [("", "advice"), ("http://127.0.0.1:9", "fails")])
async def test_an_immich_that_cannot_be_asked(tmp_path, url, verdict):
    findings = await doctor.examine(settings_for(NO_DATABASE, tmp_path, tasks="ocr", immich_url=url))
    (found,) = [found for found in findings if found.check == "Immich itself"]
    assert found.verdict == verdict
    assert "IMMICH_URL" in found.text
