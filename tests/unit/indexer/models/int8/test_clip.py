"""A CLIP model in int8: how it is made, when it is used, and that it is nearly the same."""

import json
import re
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from indexer.demo.drawn import WEIGHTS
from indexer.demo.drawn.scenes import draw, encoded, invent
from indexer.demo.packages import cn_clip
from indexer.errors import IndexerError
from indexer.images import decode
from indexer.models.clip.maker import ClipPrecision
from indexer.models.clip.makers import maker_of
from indexer.models.int8 import clip, make_clip, record, report
from indexer.models.int8.clip import PART, ClipRecord, Int8Images
from indexer.models.openers import ClipTower
from indexer.models.pixels import Cropped, Squeezed
from indexer.models.runtimes import processor
from tests.support.int8 import keep_in_int8
from tests.support.workers import settings_for

RECORD = ClipRecord("clip some-model 0123", 200, 0.4, {}, 0.998, 0.97, 512, {"kind": "squeezed", "side": 224})


def pictures(count: int) -> list[bytes]:
    chance = Random(7)
    return [encoded(draw(invent(chance), 240, 180)) for _ in range(count)]


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    return cn_clip.write_package(WEIGHTS, folder / "drawn", external=True)


@pytest.fixture(scope="module")
def made(package: Path, tmp_path_factory) -> tuple[Path, ClipRecord]:
    root = tmp_path_factory.mktemp("root")
    return root, make_clip.make_clip(str(package), root, pictures(60), threads=2)


def opened(package: Path, root: Path, precision: ClipPrecision):
    maker = maker_of(str(package))
    return ClipTower(maker, "image", str(package), root, precision, 2)("cpu").model


def test_a_model_is_made_and_measured_on_pictures_that_it_has_not_seen(made):
    root, measured = made
    assert measured.photos == 24
    assert 0.99 < measured.cosine < 1
    assert 0.5 < measured.kept <= 1
    assert measured.time > 0
    assert record.read(ClipRecord, measured.name, root) == measured
    assert record.network(measured.name, PART, root).exists()
    record.discard(measured, root)
    assert not record.network(measured.name, PART, root).exists()
    left = record.read(ClipRecord, measured.name, root)
    assert left == (measured if measured.refused else None), "what is refused needs no network"


def test_the_tower_is_used_where_it_is_good_enough(package, tmp_path):
    plain = opened(package, tmp_path, "int8")
    assert not isinstance(plain, Int8Images), "as long as nothing was measured"
    shown = [decode(data, max_pixels=10**6) for data in pictures(20)]
    prepared = [plain.preparation(each) for each in shown]
    keep_in_int8(plain, prepared, tmp_path)
    tower = opened(package, tmp_path, "int8")
    assert isinstance(tower, Int8Images)
    assert (tower.name, tower.dimensions) == (plain.name, plain.dimensions)
    np.testing.assert_array_equal(tower.preparation(shown[0]), prepared[0])
    alike = np.sum(tower.encode_images(prepared) * plain.encode_images(prepared), axis=1)
    assert alike.mean() > 0.98
    assert alike.max() < 0.9999999, "it computes in int8"
    assert tower.encode_images([]).shape == (0, tower.dimensions)
    assert not isinstance(opened(package, tmp_path, "auto"), Int8Images)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"cosine": 0.9949}, r"cosine 0\.9949, at least 0\.995"),
        ({"kept": 0.94}, "only 94% would stay"),
        ({"time": 0.95}, "95% of the time"),
    ],
)
def test_what_is_not_good_enough_is_not_used(package, tmp_path, changed, why):
    assert RECORD.refused == ""
    assert RECORD.sentence.startswith("used; compared on 200 photos")
    name = maker_of(str(package)).identify(str(package), tmp_path).name
    measured = replace(RECORD, name=name, **changed)
    (tmp_path / "int8").mkdir()
    record.write(measured, tmp_path)
    assert record.read(ClipRecord, name, tmp_path) == measured
    assert measured.sentence.startswith("not used: ")
    assert clip.opened(name, tmp_path, threads=1) == (None, measured.refused)
    assert not isinstance(opened(package, tmp_path, "int8"), Int8Images)
    told = report.of_clip(settings_for("", tmp_path, clip_precision="int8", clip_download_root=tmp_path), name)
    assert told == f"; int8: {measured.sentence}"
    assert re.search(why, measured.sentence)
    assert report.of_clip(settings_for("", tmp_path, clip_download_root=tmp_path), name) == "", "nobody asked for it"


def test_files_that_are_not_whole_are_as_none(tmp_path):
    (tmp_path / "int8").mkdir()
    weights = record.network(RECORD.name, PART, tmp_path).with_suffix(".bin")
    weights.write_bytes(b"weights")
    whole = replace(RECORD, digests=record.digests(RECORD.name, (PART,), tmp_path))
    record.write(whole, tmp_path)
    assert record.read(ClipRecord, RECORD.name, tmp_path) == whole
    assert record.read(ClipRecord, "another", tmp_path) is None
    [path] = (tmp_path / "int8").glob("*.json")
    stored = path.read_text()
    for text in ("{", json.dumps({"format": 0}), json.dumps(json.loads(stored) | {"format": 0})):
        path.write_text(text)
        assert record.read(ClipRecord, RECORD.name, tmp_path) is None
    path.write_text(stored)
    weights.write_bytes(b"weight")
    assert record.read(ClipRecord, RECORD.name, tmp_path) is None
    told = report.of_clip(settings_for("", tmp_path, clip_precision="int8", clip_download_root=tmp_path), RECORD.name)
    assert told == "; int8: not measured yet"


def test_what_was_measured_on_another_processor_is_measured_again(tmp_path, monkeypatch):
    (tmp_path / "int8").mkdir()
    refused = replace(RECORD, time=0.95)
    record.write(refused, tmp_path)
    assert record.read(ClipRecord, RECORD.name, tmp_path) == refused
    monkeypatch.setattr(processor, "described", lambda: "AMD EPYC avx avx2 avx512f avx512_vnni")
    assert record.read(ClipRecord, RECORD.name, tmp_path) is None


def test_neighbours_are_counted_by_question():
    before = np.eye(20, dtype=np.float32)
    asked = np.linspace(1, 0.1, 20, dtype=np.float32)[None]
    assert make_clip.kept(asked, before, before) == 1
    assert make_clip.kept(asked, before, before[::-1]) == 0
    assert make_clip.kept(asked, before, np.roll(before, 1, axis=0)) == 0.9


def test_preparations_are_kept():
    for preparation in (Squeezed(224), Cropped(384, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))):
        arguments = json.loads(json.dumps(clip.described(preparation)))
        assert arguments["kind"] in ("squeezed", "cropped")
        assert arguments["side"] == preparation.side
    with pytest.raises(ValueError, match="cannot be kept"):
        clip.described(lambda picture: picture)


def test_a_model_that_torch_computes_is_refused(tmp_path):
    with pytest.raises(IndexerError, match="is computed here by torch"):
        make_clip.make_clip(str(WEIGHTS), tmp_path, pictures(5), threads=1)
