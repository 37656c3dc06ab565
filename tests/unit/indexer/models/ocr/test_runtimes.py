"""Which library runs the models of OCR, and in which number format."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from indexer import limits
from indexer.errors import SettingsError
from indexer.models.ocr.engines import engine_way
from indexer.models.ocr.names import model_files
from indexer.models.ocr.runtimes import Way, choose_way
from indexer.models.runtimes import openvino

DETECTOR = model_files("rapidocr")[0]
PLAIN, OPENVINO, BF16 = Way("onnxruntime", "f32"), Way("openvino", "f32"), Way("openvino", "bf16")


def taking(**seconds: float):
    """A measurement: so many seconds with each."""
    named = {PLAIN: "plain", OPENVINO: "openvino", BF16: "bf16"}

    def measure(_: Path, ways: Sequence[Way]) -> Mapping[Way, float]:
        return {way: seconds[named[way]] for way in ways}

    return measure


@pytest.fixture(autouse=True)
def all_there(monkeypatch) -> None:
    monkeypatch.setattr(openvino, "is_installed", lambda: True)
    monkeypatch.setattr(openvino, "why_not_bf16", lambda: "")
    monkeypatch.setattr(limits, "memory", lambda: 8 << 30)


@pytest.mark.parametrize(
    ("seconds", "way"),
    [
        ({"plain": 1, "openvino": 0.5, "bf16": 0.3}, BF16),
        ({"plain": 1, "openvino": 0.5, "bf16": 0.45}, OPENVINO),
        ({"plain": 1, "openvino": 0.9, "bf16": 0.7}, BF16),
        ({"plain": 1, "openvino": 0.95, "bf16": 1.9}, PLAIN),
        ({"plain": 1, "openvino": 2, "bf16": 2}, PLAIN),
    ],
)
def test_auto_takes_what_is_clearly_faster(seconds, way):
    chosen, why = choose_way("auto", "auto", "cpu", DETECTOR, taking(**seconds))
    assert chosen == way
    assert f"{seconds['openvino']:.0%} with OpenVINO and {seconds['bf16']:.0%} with OpenVINO in bf16" in why


def test_it_really_measures():
    _, why = choose_way("auto", "fp32", "cpu", DETECTOR)
    assert "with OpenVINO of the time with ONNX Runtime" in why


def test_a_processor_without_bf16(monkeypatch):
    monkeypatch.setattr(openvino, "why_not_bf16", lambda: "this processor has no bf16")
    chosen, why = choose_way("auto", "auto", "cpu", DETECTOR, taking(plain=1, openvino=0.5))
    assert (chosen, "bf16" in why) == (OPENVINO, False)
    with pytest.raises(SettingsError, match="OCR_PRECISION=bf16 was asked for, but this processor has no bf16"):
        choose_way("auto", "bf16", "cpu", DETECTOR)


def test_auto_does_without_what_does_not_work():
    def measure(_: Path, ways: Sequence[Way]) -> Mapping[Way, float]:
        raise ImportError("libtbb.so.12: cannot open shared object file")

    chosen, why = choose_way("auto", "auto", "cpu", DETECTOR, measure)
    assert (chosen, "libtbb.so.12" in why) == (PLAIN, True)


@pytest.mark.parametrize(
    ("runtime", "precision", "way"),
    [
        ("onnxruntime", "auto", PLAIN),
        ("onnxruntime", "fp32", PLAIN),
        ("openvino", "fp32", OPENVINO),
        ("openvino", "bf16", BF16),
        ("auto", "bf16", BF16),
    ],
)
def test_what_is_asked_for(runtime, precision, way):
    chosen, why = choose_way(runtime, precision, "cpu", DETECTOR)
    assert chosen == way
    assert why == (f"OCR_PRECISION={precision}" if runtime == "auto" else f"OCR_RUNTIME={runtime}")


def test_the_format_alone_is_measured_where_the_library_is_asked_for():
    measure = taking(openvino=1, bf16=0.5)
    assert choose_way("openvino", "auto", "cpu", DETECTOR, measure)[0] == BF16


def test_onnx_runtime_has_no_bf16():
    with pytest.raises(SettingsError, match="ONNX Runtime does not compute in it; or use OCR_PRECISION=auto"):
        choose_way("onnxruntime", "bf16", "cpu", DETECTOR)


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(openvino, "is_installed", lambda: False)
    assert choose_way("auto", "auto", "cpu", DETECTOR) == (PLAIN, "OpenVINO is not installed")
    with pytest.raises(SettingsError, match=r"pip install 'immich-indexer\[openvino\]', or use OCR_RUNTIME=auto"):
        choose_way("openvino", "auto", "cpu", DETECTOR)


@pytest.mark.parametrize("wanted", ["auto", "openvino"])
def test_on_a_gpu(wanted):
    assert choose_way(wanted, "auto", "cuda", DETECTOR)[0] == PLAIN


def test_an_engine_whose_lines_bf16_changes_reads_in_it_only_if_asked():
    assert engine_way("rapidocr-onnxruntime", "openvino", "auto", "cpu") == (OPENVINO, "OCR_RUNTIME=openvino")
    assert engine_way("rapidocr-onnxruntime", "openvino", "bf16", "cpu")[0] == BF16


def test_where_memory_is_short_it_takes_what_needs_less():
    measure = taking(plain=1, openvino=0.5, bf16=0.3)
    for gigabytes, way in ((1, PLAIN), (2, BF16)):
        chosen, why = choose_way("auto", "auto", "cpu", DETECTOR, measure, gigabytes << 30)
        assert chosen == way
        assert ("less memory" in why) == (way == PLAIN)
    assert choose_way("openvino", "auto", "cpu", DETECTOR, measure, 1 << 30)[0] == BF16, "it was asked for"
