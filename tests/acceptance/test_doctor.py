"""What the doctor says of faces: who would answer Immich for them."""

import asyncio
import hashlib

import pytest

from indexer import doctor
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


async def test_an_address_that_is_none(of_faces):
    found = await of_faces(immich_ml_url="ml:3003")
    assert found.verdict == "fails"
    assert "IMMICH_ML_URL" in found.text


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
