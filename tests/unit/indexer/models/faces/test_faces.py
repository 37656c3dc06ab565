"""Faces found by InsightFace's own code with tiny networks of the right form in the middle."""

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from indexer import images
from indexer.errors import WeightsError
from indexer.images import Picture
from indexer.models.engines.messages import Facts
from indexer.models.engines.probe import FacesProbe
from indexer.models.faces import weights as face_weights
from indexer.models.faces.faces import Faces, load_faces
from indexer.models.faces.weights import FILES, FaceFile, FaceFiles
from tests.support.face_models import detector, embedding, recogniser


def face(red: int, seed: int = 0) -> Image.Image:
    """A face as the tiny detector sees one: 128 pixels, coloured fields around a red middle."""
    fields = np.random.default_rng(seed).integers(90, 200, (4, 4, 3), dtype=np.uint8)
    fields[:, :, 0] //= 3  # nothing else is red
    square = Image.fromarray(fields).resize((128, 128), Image.Resampling.BICUBIC)
    ImageDraw.Draw(square).rectangle((62, 62, 66, 66), fill=(red, 0, 0))
    return square


def scene(width: int, height: int, *faces: tuple[Image.Image, int, int]) -> Picture:
    """Faces with their middles at given places of a picture."""
    image = Image.new("RGB", (width, height), (60, 80, 70))
    for square, x, y in faces:
        image.paste(square, (x - square.width // 2, y - square.height // 2))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return images.decode(buffer.getvalue(), max_pixels=64_000_000)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("faces")
    return detector(folder / "det.onnx"), recogniser(folder / "rec.onnx")


@pytest.fixture(scope="module")
def faces(files) -> Faces:
    return Faces(*files)


def test_where_a_face_is(faces):
    picture = scene(640, 480, (face(255), 320, 224))
    [found] = faces.find(picture, 0.5)
    assert found.box == (320 - 64, 224 - 64, 320 + 64, 224 + 64)
    assert found.score == pytest.approx(1 / (1 + np.exp(4 - 2 * (127.5 + 127.5 + 127.5) / 128)), abs=1e-3)
    assert found.embedding.shape == (512,)
    assert found.embedding.dtype == np.float32


@pytest.mark.parametrize(("width", "height"), [(1920, 1440), (1440, 1920), (1280, 640), (640, 1280), (320, 240)])
def test_boxes_are_in_the_pixels_of_the_picture(faces, width, height):
    scale = 640 / max(width, height)
    size = round(128 / scale)
    x, y = round(96 / scale), round(128 / scale)
    square = face(255).resize((size, size), Image.Resampling.NEAREST)
    [found] = faces.find(scene(width, height, (square, x, y)), 0.5)
    # The very middle of the square may fall into one cell of the network or the next.
    assert np.abs(np.array(found.box) - [x - size / 2, y - size / 2, x + size / 2, y + size / 2]).max() <= 33 / scale
    assert found.box[2] - found.box[0] == pytest.approx(size, abs=1)
    assert found.box[3] - found.box[1] == pytest.approx(size, abs=1)


def test_a_face_is_shown_upright(files, faces, tmp_path):
    upright = face(255, seed=1)
    expected = embedding(np.asarray(upright.resize((112, 112), Image.Resampling.BILINEAR)))
    [found] = faces.find(scene(640, 640, (upright, 320, 320)), 0.5)
    assert cosine(found.embedding, expected) > 0.999
    # The same face on its head, and a detector that says so.
    turned = Faces(detector(tmp_path / "turned.onnx", turned=True), files[1])
    [found] = turned.find(scene(640, 640, (upright.rotate(180), 320, 320)), 0.5)
    assert cosine(found.embedding, expected) > 0.99
    [another] = faces.find(scene(640, 640, (face(255, seed=2), 320, 320)), 0.5)
    assert cosine(another.embedding, expected) < 0.97


def test_the_surest_first_and_none_below_the_threshold(faces):
    picture = scene(640, 640, (face(200), 128, 128), (face(255), 320, 320), (face(150), 512, 512))
    assert [f.box[0] + 64 for f in faces.find(picture, 0.5)] == [320, 128, 512]
    assert [f.box[0] + 64 for f in faces.find(picture, 0.7)] == [320, 128]
    assert [f.box[0] + 64 for f in faces.find(picture, 0.8)] == [320]
    assert faces.find(picture, 0.95) == []


def test_a_face_is_found_once(faces):
    square = face(255)
    ImageDraw.Draw(square).rectangle((30, 60, 70, 70), fill=(255, 0, 0))  # two cells of the network see it
    assert len(faces.find(scene(640, 640, (square, 320, 320)), 0.5)) == 1


def test_no_face(faces):
    assert faces.find(scene(640, 480), 0.5) == []


@pytest.mark.parametrize(("width", "height"), [(1, 1), (7000, 3), (3, 7000), (1, 6000)])
def test_odd_shapes(faces, width, height):
    assert faces.find(scene(width, height), 0.5) == []


def test_a_face_at_the_edge_reaches_beyond_it(faces):
    [found] = faces.find(scene(640, 640, (face(255), 0, 320)), 0.5)
    assert found.box == (-64, 256, 64, 384)


@pytest.mark.parametrize("batch", [True, False])
def test_many_faces(files, tmp_path, batch):
    faces = Faces(files[0], recogniser(tmp_path / "rec.onnx", batch=batch))
    small = [face(255, seed).resize((60, 60)) for seed in range(25)]
    places = [(64 + 128 * (i % 5), 64 + 128 * (i // 5)) for i in range(25)]
    picture = scene(640, 640, *((square, x, y) for square, (x, y) in zip(small, places, strict=True)))
    found = faces.find(picture, 0.5)
    assert len(found) == 25
    for one in found:
        alone = np.zeros_like(picture.rgb)
        x, y = (one.box[0] + one.box[2]) // 2, (one.box[1] + one.box[3]) // 2
        alone[max(0, y - 64) : y + 64, max(0, x - 64) : x + 64] = picture.rgb[
            max(0, y - 64) : y + 64, max(0, x - 64) : x + 64
        ]
        [same] = [f for f in faces.find(Picture(alone), 0.5) if f.box == one.box]
        assert np.allclose(same.embedding, one.embedding, atol=1e-3)


def test_from_several_threads_each_with_its_threshold(faces):
    picture = scene(640, 640, (face(200), 128, 128), (face(255), 320, 320), (face(150), 512, 512))
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda score: len(faces.find(picture, score)), [0.5, 0.7, 0.8, 0.95] * 25))
    assert counts == [3, 2, 1, 0] * 25


def test_nonsense_from_the_network_is_no_answer(files, tmp_path):
    faces = Faces(files[0], recogniser(tmp_path / "rec.onnx", nonsense=True))
    with pytest.raises(ValueError, match="not finite numbers"):
        faces.find(scene(640, 640, (face(255), 320, 320)), 0.5)


def test_files_that_are_no_models(files, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"broken")
    with pytest.raises(WeightsError, match=r"cannot load .*broken"):
        Faces(tmp_path / "broken.onnx", files[1])
    with pytest.raises(WeightsError, match="cannot load"):
        Faces(files[0], tmp_path / "broken.onnx")
    with pytest.raises(WeightsError):
        Faces(files[1], files[0])


def test_loaded_from_its_files(files, tmp_path, monkeypatch):
    entries = [FaceFile(f.name, "", f.stat().st_size, hashlib.sha256(f.read_bytes()).hexdigest()) for f in files]
    monkeypatch.setitem(FILES, "test", FaceFiles(*entries))
    published = face_weights.published("test", tmp_path)
    assert "are missing" in face_weights.missing("test", tmp_path)
    with pytest.raises(WeightsError, match=r"det\.onnx"):
        load_faces(published)
    (tmp_path / "test").symlink_to(files[0].parent)
    assert face_weights.missing("test", tmp_path) == ""
    assert isinstance(load_faces(published), Faces)
    assert all(report.genuine for report in face_weights.check("test", tmp_path))


def test_a_probe_tells_a_sick_network_from_a_well_one(files, tmp_path):
    """The detector first: where it is sick it finds no faces, and nobody would know."""

    def answer(faces: Faces) -> object:
        return probe.answer(lambda method, argument: getattr(faces, method)(argument), Facts("tiny", "cpu"))

    probe = FacesProbe()
    right = answer(Faces(*files))
    assert probe.differs(answer(Faces(*files)), right) == ""
    turned = Faces(detector(tmp_path / "turned.onnx", turned=True), files[1])
    assert "is wrong" in probe.differs(answer(turned), right)
    other = Faces(files[0], recogniser(tmp_path / "other.onnx", seed=8))
    assert "is wrong" in probe.differs(answer(other), right)
