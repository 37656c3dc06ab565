"""Fetching and checking the face models' files."""

import hashlib
import http.server
import threading
from collections.abc import Iterator

import pytest

from indexer.errors import WeightsError
from indexer.models import face_weights
from indexer.models.face_weights import FILES, FaceFile, FaceFiles

PARTS = {"detection/model.onnx": bytes(range(256)) * 1000, "recognition/model.onnx": bytes(range(255, -1, -1)) * 2000}


def file(name: str, path: str) -> FaceFile:
    return FaceFile(name, path, len(PARTS[path]), hashlib.sha256(PARTS[path]).hexdigest())


@pytest.fixture
def asked(monkeypatch) -> Iterator[list[str]]:
    """A stand-in for Hugging Face, with a model called `test`."""
    paths: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            content = PARTS[self.path.removeprefix("/immich-app/test/resolve/main/")]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(face_weights, "HUGGING_FACE", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setitem(
        FILES, "test", FaceFiles(file("det.onnx", "detection/model.onnx"), file("rec.onnx", "recognition/model.onnx"))
    )
    yield paths
    server.shutdown()
    thread.join()
    server.server_close()


def test_fetch(asked, tmp_path):
    paths = face_weights.fetch("test", tmp_path)
    assert (
        tuple(paths) == face_weights.find("test", tmp_path) == (tmp_path / "test/det.onnx", tmp_path / "test/rec.onnx")
    )
    assert [path.read_bytes() for path in paths] == list(PARTS.values())
    assert len(asked) == 2
    face_weights.fetch("test", tmp_path)
    assert len(asked) == 2, "what is there and genuine is not fetched again"
    paths[1].write_bytes(b"damaged")
    assert [report.genuine for report in face_weights.check("test", tmp_path)] == [True, False]
    face_weights.fetch("test", tmp_path)
    assert len(asked) == 3
    assert all(report.genuine for report in face_weights.check("test", tmp_path))


def test_missing_files_are_named_with_what_to_do(tmp_path):
    with pytest.raises(
        WeightsError,
        match=r"(?s)det_10g.onnx.*models fetch --faces.*HF_ENDPOINT.*16923827 bytes.*buffalo_l.zip.*IMMICH_ML_URL",
    ):
        face_weights.find("buffalo_l", tmp_path)


def test_a_model_that_nobody_knows():
    with pytest.raises(WeightsError, match="unknown FACE_MODEL 'buffalo_x': use buffalo_l"):
        face_weights.files_of("buffalo_x")


def test_what_was_published():
    for files in FILES.values():
        for entry in files:
            assert len(entry.sha256) == 64
            assert entry.size > 1 << 20
