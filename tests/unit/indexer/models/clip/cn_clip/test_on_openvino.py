"""Chinese-CLIP on OpenVINO, against torch: the same vectors, and torch where they would not be."""

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from indexer.models.clip.cn_clip import export as cn_clip_export
from indexer.models.clip.cn_clip import on_openvino as cn_clip_openvino
from indexer.models.clip.cn_clip.maker import CnClip
from indexer.models.clip.cn_clip.on_openvino import OpenVinoImages, OpenVinoTexts
from indexer.models.clip.cn_clip.on_torch import Clip, load_clip, tokenize
from indexer.models.clip.cn_clip.small import small_config, write_random_checkpoint, write_small_checkpoint
from indexer.models.clip.cn_clip.tokens import tokenise
from indexer.models.clip.maker import Precision, Tower
from indexer.models.runtimes import openvino
from indexer.models.runtimes.openvino import OpenVinoSession

pytestmark = pytest.mark.skipif(not openvino.is_installed(), reason="OpenVINO is not installed")

TEXTS = [
    "",
    "发票",
    "在海边看日落的一家人",
    "a dog on the grass",
    "2025年8月17日 ￥128.50",
    "🐱 表情\u0000\ufffd\n",
    "很长" * 60,
]
SCRIPTS = (range(0x20, 0x7F), range(0x4E00, 0x9FFF), range(0xA0, 0x600), range(0x3000, 0x3100), range(0x1F300, 0x1FAFF))
ODD = [
    0,
    9,
    10,
    0xFFFD,
    0x200B,
    0x200D,
    0xFE0F,
    0x3000,
    0xAD,
    0x2E5C,
    0x61D,
    0x8DB,
    0x890,
]  # some younger than Unicode 9


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """Random weights that are large enough to be written for OpenVINO."""
    path = tmp_path_factory.mktemp("clip") / "middle.pt"
    write_random_checkpoint(path, {**small_config(), "vision_width": 512, "vision_layers": 12})
    return path


@pytest.fixture
def fresh(checkpoint, tmp_path) -> Path:
    """The same, in a folder with nothing else."""
    for path in (checkpoint, checkpoint.with_suffix(".json")):
        (tmp_path / path.name).hardlink_to(path)
    return tmp_path / checkpoint.name


@pytest.fixture(scope="module")
def torchs(checkpoint) -> Clip:
    return load_clip(str(checkpoint), precision="fp32")


def opened(checkpoint: Path, tower: Tower, precision: Precision = "auto", threads: int = 2):
    return CnClip().open(tower, str(checkpoint), Path(), device="cpu", precision=precision, threads=threads).model


def pictures(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(3).standard_normal((count, 3, 224, 224)).astype(np.float32))


@pytest.mark.parametrize(("precision", "least"), [("auto", 0.9999), ("fp32", 0.99999)])
@pytest.mark.parametrize("threads", [1, 2, 8])
def test_vectors_are_those_of_torch(checkpoint, torchs, precision, least, threads):
    images = opened(checkpoint, "image", precision, threads)
    texts = opened(checkpoint, "text", precision, threads)
    assert (type(images), type(texts)) == (OpenVinoImages, OpenVinoTexts)
    assert {(model.name, model.dimensions) for model in (images, texts, torchs)} == {(torchs.name, torchs.dimensions)}
    assert images.preparation == torchs.preparation
    for model, encode, given in ((images, "encode_images", pictures(5)), (texts, "encode_texts", TEXTS)):
        found, expected = getattr(model, encode)(given), getattr(torchs, encode)(given)
        assert (found * expected).sum(axis=1).min() >= least
        assert found.dtype == np.float32
        alone = np.concatenate([getattr(model, encode)([one]) for one in given])
        assert (found * alone).sum(axis=1).min() >= least, "in any company"
        assert getattr(model, encode)([]).shape == (0, torchs.dimensions)


def test_tokens_are_those_of_cn_clip():
    chance = random.Random(1)
    texts = [
        "".join(chr(chance.choice(chance.choice([*SCRIPTS, ODD]))) for _ in range(chance.randint(0, 70)))
        for _ in range(3000)
    ]
    texts += [*TEXTS, "[SEP]", "[CLS] a", "[MASK]发票", "a" * 300, "Café İstanbul ﬁ ½"]
    for text in texts:
        expected = tokenize([text]).numpy()[0]
        np.testing.assert_array_equal(tokenise([text])[0], expected[: np.count_nonzero(expected)], err_msg=repr(text))


def test_torch_is_not_even_imported_and_loading_takes_less_memory(checkpoint):
    script = """
import sys
from pathlib import Path
from indexer import allocator
from indexer.models.clip.cn_clip.maker import CnClip
allocator.return_large()
CnClip().open("image", sys.argv[1], Path(), device="cpu", precision="bf16", threads=2)
print("torch" in sys.modules, Path("/proc/self/status").read_text())"""
    opened(checkpoint, "image")  # written before
    said = subprocess.run([sys.executable, "-c", script, str(checkpoint)], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("False ")
    if sys.platform == "linux":
        most = int(re.findall(r"VmHWM:\s+(\d+)", said.stdout)[0]) / 1024
        assert most < 300, "torch alone takes 250, and the weights 76"


def test_it_is_written_once(checkpoint):
    opened(checkpoint, "text")
    written = {path: path.stat().st_mtime_ns for path in (checkpoint.parent / "openvino").iterdir()}
    opened(checkpoint, "text")
    assert {path: path.stat().st_mtime_ns for path in (checkpoint.parent / "openvino").iterdir()} == written


@pytest.mark.parametrize(("suffix", "damage"), [(".npz", b"PK"), (".bin", None), (".xml", b"0")])
def test_what_is_damaged_is_written_again(fresh, torchs, suffix, damage):
    opened(fresh, "text")
    [path] = (fresh.parent / "openvino").glob(f"*{suffix}")
    path.unlink() if damage is None else path.write_bytes(damage * path.stat().st_size)
    again = opened(fresh, "text")
    assert isinstance(again, OpenVinoTexts)
    assert (again.encode_texts(TEXTS) * torchs.encode_texts(TEXTS)).sum(axis=1).min() >= 0.9999


def test_a_folder_that_cannot_be_written_to(fresh, caplog):
    (fresh.parent / "openvino").write_text("a file is here")
    assert isinstance(opened(fresh, "text"), Clip)
    assert "it was not written for OpenVINO" in caplog.text
    assert "File exists" in caplog.text or "Not a directory" in caplog.text


def test_a_process_that_is_killed_while_it_writes(fresh, caplog, monkeypatch):
    monkeypatch.setattr(cn_clip_export, "SECONDS", 0.01)
    assert isinstance(opened(fresh, "text"), Clip)
    assert "it was not written for OpenVINO" in caplog.text


def test_vectors_that_are_not_equal_are_not_used(checkpoint, monkeypatch, caplog):
    monkeypatch.setattr(cn_clip_openvino, "EQUAL", 1.1)
    assert isinstance(opened(checkpoint, "text"), Clip)
    assert "OpenVINO computes other vectors" in caplog.text


def test_where_it_is_not_installed_or_has_no_such_format(checkpoint, monkeypatch):
    assert isinstance(opened(checkpoint, "text", "fp16"), Clip)
    monkeypatch.setattr(openvino, "is_installed", lambda: False)
    assert isinstance(opened(checkpoint, "text"), Clip)


def test_small_weights_are_torchs(tmp_path):
    write_small_checkpoint(tmp_path / "small.pt")
    assert isinstance(opened(tmp_path / "small.pt", "text"), Clip)
    assert not (tmp_path / "openvino").exists()


def test_other_weights_of_the_same_name_take_the_place_of_the_old(tmp_path):
    mine = tmp_path / "mine [1].pt"
    left = tmp_path / "openvino" / ".mine [1]-text-0123456789ab-7.bin"  # by a process that was killed
    left.parent.mkdir()
    left.touch()
    os.utime(left, (0, 0))
    names = []
    for seed in (1, 2):
        write_random_checkpoint(mine, {**small_config(), "vision_width": 512, "vision_layers": 12}, seed=seed)
        names.append(opened(mine, "text").name)
    assert names[0] != names[1]
    assert len(list((tmp_path / "openvino").iterdir())) == 3


def test_numbers_that_are_not_finite_are_not_used(fresh, monkeypatch, caplog):
    monkeypatch.setattr(OpenVinoSession, "run", lambda *_: [np.full((7, 512), np.nan, dtype=np.float32)])
    assert isinstance(opened(fresh, "text"), Clip)
    assert "OpenVINO computes other vectors" in caplog.text


def test_calls_for_texts_in_fp32_are_of_8_to_64_tokens(checkpoint, torchs, monkeypatch):
    calls, run = [], openvino.OpenVinoSession.run

    def watched(session: openvino.OpenVinoSession, names: object, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        calls.append(next(iter(feed.values())).shape)
        return run(session, names, feed)

    monkeypatch.setattr(openvino.OpenVinoSession, "run", watched)
    texts = opened(checkpoint, "text", "fp32")
    given = [
        "",
        "猫",
        "发票",
        "在海边看日落",
        *(f"2026年{month}月的发票" for month in range(1, 13)),
        "一家人和两只狗" * 9,
    ]
    found = texts.encode_texts(given)
    texts.encode_texts(["猫"])
    assert all(8 <= rows * tokens <= 64 for rows, tokens in calls), "otherwise OpenVINO keeps the matrices twice"
    assert max(rows for rows, _ in calls) > 1
    assert (found * torchs.encode_texts(given)).sum(axis=1).min() >= 0.99999
