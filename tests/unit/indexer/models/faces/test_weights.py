"""The face models' files: fetched, checked, missing."""

import hashlib

import pytest

from indexer.errors import WeightsError
from indexer.models.faces import weights as face_weights
from indexer.models.faces.faces import load_faces
from indexer.models.faces.weights import FILES, FaceFile, FaceFiles
from indexer.models.files.download import download
from indexer.models.files.published import Source
from tests.support.sources import host as serve

PARTS = {"detection/model.onnx": bytes(range(256)) * 1000, "recognition/model.onnx": bytes(range(255, -1, -1)) * 2000}


def file(name: str, path: str) -> FaceFile:
    return FaceFile(name, path, len(PARTS[path]), hashlib.sha256(PARTS[path]).hexdigest())


@pytest.fixture
def known(monkeypatch) -> None:
    """A model called `test`."""
    files = FaceFiles(file("det.onnx", "detection/model.onnx"), file("rec.onnx", "recognition/model.onnx"))
    monkeypatch.setitem(FILES, "test", files)


def test_fetch_and_check(known, tmp_path):
    with serve({f"/immich-app/test/resolve/main/{path}": content for path, content in PARTS.items()}) as host:
        # ModelScope has no copy.
        wanted = face_weights.published("test", tmp_path, [Source("huggingface", host.address), Source.all()[-1]])
        assert all(len(file.addresses) == 1 for file in wanted)
        for one in wanted:
            download(one)
    paths = face_weights.find("test", tmp_path)
    assert paths == (tmp_path / "test/det.onnx", tmp_path / "test/rec.onnx")
    assert [path.read_bytes() for path in paths] == list(PARTS.values())
    assert all(report.genuine for report in face_weights.check("test", tmp_path))
    paths[1].write_bytes(b"damaged")
    assert [report.genuine for report in face_weights.check("test", tmp_path)] == [True, False]


def test_what_is_not_what_was_published_is_never_loaded(known, tmp_path):
    (tmp_path / "test").mkdir()
    for one, content in zip(FILES["test"], PARTS.values(), strict=True):
        (tmp_path / "test" / one.name).write_bytes(content[:-1] + b"!")
    with pytest.raises(
        WeightsError, match=r"det\.onnx: SHA-256 .* damaged or not what was.*downloaded again automatically"
    ):
        load_faces(face_weights.published("test", tmp_path))


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
