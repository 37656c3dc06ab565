"""An OCR engine in int8: how it is made, when it is used, and that it reads nearly the same."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bench.reading_pictures import samples
from indexer.errors import IndexerError, SettingsError
from indexer.images import decode
from indexer.models.int8 import record, report
from indexer.models.int8.make_ocr import alike, make_ocr
from indexer.models.int8.ocr import OcrRecord, networks
from indexer.models.ocr import engines as ocr_engines
from indexer.models.ocr.names import OcrSettings
from indexer.models.openers import OcrEngine
from indexer.models.runtimes import openvino
from tests.support.int8 import keep_ocr
from tests.support.workers import settings_for

SETTINGS = OcrSettings("rapidocr", 0.5, 0.8, 640)
RECORD = OcrRecord("rapidocr some version", 200, 0.6, {}, 1000, 0.996)


@pytest.fixture
def opened_files(monkeypatch) -> list[Path]:
    """The networks that OpenVINO opens for text."""
    files: list[Path] = []

    class Noted(openvino.OpenVinoSession):
        def __init__(self, path: Path, **how) -> None:
            files.append(path)
            super().__init__(path, **how)

    monkeypatch.setattr(ocr_engines, "OpenVinoSession", Noted)
    return files


def engine(root: Path, precision: str = "int8"):
    return OcrEngine(SETTINGS, "auto", precision, 1, root)("cpu").model


def test_it_is_used_where_it_is_good_enough(tmp_path, opened_files):
    kept = keep_ocr(SETTINGS, tmp_path)
    assert record.read(OcrRecord, SETTINGS.name, tmp_path) == kept
    int8 = engine(tmp_path)
    assert set(networks(SETTINGS.name, tmp_path)) < set(opened_files)
    exact = engine(tmp_path, "fp32")
    assert (int8.name, int8.alphabet) == (exact.name, exact.alphabet)
    shown = [decode(sample.data, max_pixels=10**8) for sample in samples("tilted", 3, seed=3)]
    read, expected = (
        Counter((number, line.text) for number, lines in enumerate(ocr.read(shown)) for line in lines)
        for ocr in (int8, exact)
    )
    assert expected.total() > 5
    assert alike(expected, read) > 0.95
    opened_files.clear()
    engine(tmp_path, "auto")
    assert not set(networks(SETTINGS.name, tmp_path)) & set(opened_files), "nobody asked for it"
    record.write(replace(kept, alike=0.98), tmp_path)
    engine(tmp_path)
    assert not set(networks(SETTINGS.name, tmp_path)) & set(opened_files), "it reads otherwise"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"lines": 199}, "only 199 lines were read, too few to compare (at least 200)"),
        ({"alike": 0.9894}, "it would read only 98.94% of the lines alike (asked for are 99%)"),
        ({"time": 0.95}, "it would take 95% of the time here"),
    ],
)
def test_what_is_not_good_enough_is_not_used(tmp_path, changed, why):
    assert RECORD.sentence == ("used; compared on 200 photos: 99.60% of 1000 lines are read alike, 60% of the time")
    measured = replace(RECORD, name=SETTINGS.name, **changed)
    (tmp_path / "int8").mkdir()
    record.write(measured, tmp_path)
    asked = settings_for("", tmp_path, ocr_precision="int8", ocr_detect_side=640, clip_download_root=tmp_path)
    assert report.of_ocr(asked).startswith(f"; int8: not used: {why}; compared on 200 photos")
    assert report.of_ocr(asked.model_copy(update={"ocr_precision": "auto"})) == ""
    assert engine(tmp_path).name == SETTINGS.name


def test_lines_are_compared_photo_by_photo():
    one, two = Counter({(0, "发票"): 1, (1, "发票"): 1}), Counter({(0, "发票"): 2})
    assert alike(one, one) == 1
    assert alike(one, two) == 0.5
    assert alike(Counter(), Counter()) == 0
    assert alike(one, one + two) == 0.5, "lines that only int8 reads count, too"


def test_without_text_nothing_is_made(tmp_path):
    with pytest.raises(IndexerError, match="there is no text in these photos"):
        make_ocr(SETTINGS, tmp_path, [sample.data for sample in samples("leaves", 3, seed=3)], threads=1)


def test_it_is_openvinos(tmp_path, monkeypatch):
    for runtime in ("onnxruntime", "torch"):
        with pytest.raises(SettingsError, match=f"OCR_PRECISION=int8 is not for OCR_RUNTIME={runtime}: use"):
            OcrEngine(SETTINGS, runtime, "int8", 1, tmp_path)("cpu")
    monkeypatch.setattr(openvino, "is_installed", lambda: False)
    with pytest.raises(SettingsError, match="OpenVINO is not installed"):
        OcrEngine(SETTINGS, "auto", "int8", 1, tmp_path)("cpu")
    with pytest.raises(IndexerError, match="OpenVINO is not installed"):
        make_ocr(SETTINGS, tmp_path, [], threads=1)
