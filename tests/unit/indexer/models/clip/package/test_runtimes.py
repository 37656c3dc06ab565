"""What computes a package: OpenVINO where its vectors are the same and come faster, ONNX Runtime otherwise."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexer.images import Picture
from indexer.models.clip.maker import Tower
from indexer.models.clip.package import runtimes as package_runtimes
from indexer.models.clip.package.maker import Packages
from indexer.models.runtimes import onnx, openvino
from tests.support import packages
from tests.support.packages import FG_CLIP_2, NLLB, SHAPES, SIGLIP_2, XLM_R, Shape
from tests.support.poor_openvino import poor_session

pytestmark = pytest.mark.skipif(not openvino.is_installed(), reason="OpenVINO is not installed")

TEXTS = ["海边日落", "", "The PHOTO, at sunset!", "票" * 300, "👪\ufffd"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with every package."""
    folder = tmp_path_factory.mktemp("packages")
    for shape in SHAPES:
        packages.write_package(folder, shape)
    return folder


@pytest.fixture(autouse=True)
def small_ones_count(monkeypatch) -> None:
    """Tests have small packages, with which OpenVINO saves little."""
    monkeypatch.setattr(package_runtimes, "LARGE", 0)
    monkeypatch.setattr(package_runtimes, "MOST_OF_TIME", math.inf)


@pytest.fixture
def no_onnx(monkeypatch) -> None:
    """ONNX Runtime cannot be used."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("ONNX Runtime was loaded")

    monkeypatch.setattr(onnx, "open_session", refuse)


def opened(package: Path, tower: Tower, root: Path) -> Any:
    return Packages().open(tower, str(package), root, device="cpu", precision="auto", threads=2).model


def vectors(package: Path, tower: Tower, root: Path) -> np.ndarray:
    model = opened(package, tower, root)
    if tower == "text":
        return model.encode_texts(TEXTS, "zh-CN")
    random = np.random.default_rng(0)
    shapes = [(300, 200, 3), (200, 300, 3), (600, 500, 3)]
    pictures = [Picture(random.integers(0, 256, shape, dtype=np.uint8)) for shape in shapes]
    return model.encode_images([model.preparation(picture) for picture in pictures])


def record(root: Path, tower: Tower) -> dict[str, Any]:
    [path] = (root / "openvino").glob(f"*-{tower}-*.json")
    return json.loads(path.read_text())


@pytest.fixture
def exact(monkeypatch) -> Callable[[Path, Tower], np.ndarray]:
    """Vectors as ONNX Runtime computes them."""

    def make(package: Path, tower: Tower) -> np.ndarray:
        with monkeypatch.context() as patch:
            patch.setattr(openvino, "is_installed", lambda: False)
            return vectors(package, tower, Path())

    return make


@pytest.mark.parametrize("tower", ["image", "text"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_the_same_vectors_and_from_then_on_without_onnx_runtime(
    folder, tmp_path, exact, request, shape: Shape, tower: Tower
):
    package = folder / shape.name
    expected = exact(package, tower)
    first = vectors(package, tower, tmp_path)
    assert (first * expected).sum(axis=1).min() >= 0.99999
    found = record(tmp_path, tower)
    assert (found["refused"], found["dimensions"]) == ("", shape.dimensions)
    written = list((tmp_path / "openvino").glob("*.bin"))
    assert len(written) == (0 if shape.external else 1), "weights inside the ONNX file are written anew"
    request.getfixturevalue("no_onnx")
    np.testing.assert_allclose(vectors(package, tower, tmp_path), first, atol=1e-6)


def test_one_picture_and_one_text_at_a_time(folder, tmp_path, monkeypatch):
    rows, run = [], openvino.OpenVinoSession.run

    def watched(session: openvino.OpenVinoSession, names: object, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        rows.append(len(next(iter(feed.values()))))
        return run(session, None, feed)

    monkeypatch.setattr(openvino.OpenVinoSession, "run", watched)
    images, texts = (opened(folder / SIGLIP_2.name, tower, tmp_path) for tower in ("image", "text"))
    rows.clear()
    images.encode_images([np.full((3, 224, 224), number, dtype=np.float32) for number in (1, 2, 3)])
    texts.encode_texts(TEXTS)
    assert rows == [1] * (3 + len(TEXTS))


def test_small_packages_are_not_measured(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(package_runtimes, "LARGE", 64 << 20)
    vectors(folder / XLM_R.name, "text", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("trouble", ["other vectors", "cannot be loaded", "slower"])
def test_where_openvino_is_not_better_onnx_runtime_computes(folder, tmp_path, monkeypatch, exact, trouble):
    off_by = 0.01 if trouble == "other vectors" else 0
    session = poor_session(loads=trouble != "cannot be loaded", off_by=off_by)
    monkeypatch.setattr(openvino, "OpenVinoSession", session)
    if trouble == "slower":
        monkeypatch.setattr(package_runtimes, "MOST_OF_TIME", 0)
    package = folder / FG_CLIP_2.name
    assert (vectors(package, "text", tmp_path) == exact(package, "text")).all()
    said = {"other vectors": "would differ (cosine", "cannot be loaded": "not implemented", "slower": "of the time"}
    assert said[trouble] in record(tmp_path, "text")["refused"]
    assert [path.suffix for path in (tmp_path / "openvino").iterdir()] == [".json"], "nothing else is kept"
    monkeypatch.setattr(openvino, "OpenVinoSession", None)
    assert (vectors(package, "text", tmp_path) == exact(package, "text")).all(), "nor is it tried again"


@pytest.mark.parametrize("change", ["key", "weights cut short", "no weights", "no JSON", "an older form"])
def test_what_does_not_fit_any_more_is_measured_again(folder, tmp_path, caplog, change):
    package = folder / NLLB.name
    first = vectors(package, "image", tmp_path)
    [stored] = (tmp_path / "openvino").glob("*.json")
    content, weights = json.loads(stored.read_text()), stored.with_suffix(".bin")
    if change == "key":
        stored.write_text(json.dumps(content | {"key": [*content["key"][:-1], "another OpenVINO"]}))
    elif change == "weights cut short":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif change == "no weights":
        weights.unlink()
    elif change == "no JSON":
        stored.write_text("{")
    else:
        stored.write_text(json.dumps({name: value for name, value in content.items() if name != "dimensions"}))
    with caplog.at_level("INFO"):
        np.testing.assert_allclose(vectors(package, "image", tmp_path), first, atol=1e-6)
        assert [each.getMessage()[:9] for each in caplog.records].count("measuring") == 1
        caplog.clear()
        vectors(package, "image", tmp_path)
    assert "measuring" not in caplog.text


def test_openvino_that_fails_later_is_replaced(folder, tmp_path, monkeypatch, exact, caplog):
    package = folder / XLM_R.name
    vectors(package, "text", tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(openvino, "OpenVinoSession", fail)
    with caplog.at_level("INFO"):
        assert (vectors(package, "text", tmp_path) == exact(package, "text")).all()
    assert "by ONNX Runtime, because no such instruction" in caplog.text


def test_a_folder_that_cannot_be_written_to(folder, tmp_path, exact, caplog):
    (tmp_path / "file").touch()
    with caplog.at_level("INFO"):
        found = vectors(folder / FG_CLIP_2.name, "text", tmp_path / "file")
    assert (found * exact(folder / FG_CLIP_2.name, "text")).sum(axis=1).min() >= 0.99999
    assert "OpenVINO reads" in caplog.text
    assert "measured again at the next start" in caplog.text


def test_what_an_older_package_of_that_name_left_is_deleted(folder, tmp_path):
    package = shutil.copytree(folder / FG_CLIP_2.name, tmp_path / "a" / FG_CLIP_2.name)
    root = tmp_path / "root"
    for tower in ("image", "text"):
        vectors(package, tower, root)
    before = {path.name for path in (root / "openvino").iterdir()}
    packages.write_package(tmp_path / "a", FG_CLIP_2, seed=1)
    vectors(package, "text", root)
    left = {path.name for path in (root / "openvino").iterdir()}
    assert len(left) == len(before) == 6
    assert left & before == {name for name in before if "-image-" in name}


def test_towers_of_a_package_with_a_dot_in_its_name_are_kept_apart(folder, tmp_path, caplog):
    package = shutil.copytree(folder / FG_CLIP_2.name, tmp_path / "fg-clip-2.0")
    with caplog.at_level("INFO"):
        for tower in ("image", "text", "image", "text"):
            vectors(package, tower, tmp_path / "root")
    assert caplog.text.count("measuring what computes") == 2
    assert len(list((tmp_path / "root" / "openvino").iterdir())) == 6


def test_doctor_says_what_computes_it(folder, tmp_path):
    package = folder / XLM_R.name
    assert Packages().identify(str(package), tmp_path).computed == ""
    vectors(package, "text", tmp_path)
    said = Packages().identify(str(package), tmp_path).computed
    assert said.startswith("; questions are computed by OpenVINO, in ")
    assert said.endswith("% of ONNX Runtime's time (cosine 1.000000)")
