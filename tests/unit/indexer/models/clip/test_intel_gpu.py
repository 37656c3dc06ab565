"""DEVICE=openvino:GPU: when Intel's graphics are used, and why not. OpenVINO's processor stands in for them."""

import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from indexer.demo.drawn import WEIGHTS
from indexer.demo.packages import cn_clip
from indexer.errors import SettingsError
from indexer.models.clip.cn_clip.on_openvino import OpenVinoImages
from indexer.models.clip.cn_clip.on_torch import Clip
from indexer.models.clip.cn_clip.small import small_config, write_random_checkpoint, write_small_checkpoint
from indexer.models.clip.intel_gpu import Graphics, GraphicsImages, seconds_each
from indexer.models.clip.maker import ClipPrecision, HasGraph, ImageTower, Vector
from indexer.models.clip.makers import maker_of
from indexer.models.engines.engine import Engine
from indexer.models.engines.lifecycle import Pace
from indexer.models.engines.messages import Opened
from indexer.models.engines.probe import ImageProbe
from indexer.models.engines.states import Phase
from indexer.models.int8.clip import Int8Images
from indexer.models.load import load_models, start_text
from indexer.models.openers import ClipTower
from indexer.models.pixels import noise
from indexer.models.runtimes import openvino
from indexer.models.runtimes.device import INTEL_GPU, choose_device
from indexer.settings import Settings
from tests.support.hosts import InThisProcess, until_ready
from tests.support.int8 import keep_in_int8
from tests.support.stubs import StubClip, StubDriver

pytestmark = pytest.mark.skipif(not openvino.is_installed(), reason="OpenVINO is not installed")


@pytest.fixture(scope="module")
def chinese(tmp_path_factory) -> Path:
    """Chinese-CLIP, of random weights that are large enough to be written for OpenVINO."""
    path = tmp_path_factory.mktemp("clip") / "middle.pt"
    write_random_checkpoint(path, {**small_config(), "vision_width": 512, "vision_layers": 12})
    return path


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    return cn_clip.write_package(WEIGHTS, tmp_path_factory.mktemp("package") / "drawn", external=True)


def graphics(device: str = "CPU", part: float = 0.5) -> Graphics:
    """`device`: of OpenVINO, in the place of the graphics. `part`: of the processor's time that they take."""

    def seconds(tower: ImageTower, picture: Vector, threads: int) -> float:
        assert picture.shape == (3, tower.preparation.side, tower.preparation.side)
        assert threads == 2
        return part if isinstance(tower, GraphicsImages) else 1

    return Graphics(device, lambda: ["CPU", "GPU"], seconds)


def on_processor(model: Path, root: Path) -> Opened:
    return maker_of(str(model)).open("image", str(model), root, device="cpu", precision="fp32", threads=2)


def opened(model: Path, root: Path, on: Graphics, precision: ClipPrecision = "auto", device: str = INTEL_GPU) -> Opened:
    return ClipTower(maker_of(str(model)), "image", str(model), root, precision, 2, on)(device)


@pytest.mark.parametrize("precision", ["auto", "fp32"])
@pytest.mark.parametrize("kind", ["chinese", "package"])
def test_the_same_vectors_that_come_faster_are_used(kind, precision, request, tmp_path):
    model = request.getfixturevalue(kind)
    usual = on_processor(model, tmp_path).model
    found = opened(model, tmp_path, graphics(), precision)
    tower = found.model
    assert isinstance(tower, GraphicsImages)
    assert (found.device, found.note) == (INTEL_GPU, "")
    assert (tower.name, tower.dimensions, tower.preparation) == (usual.name, usual.dimensions, usual.preparation)
    pictures = list(noise(tower.preparation.side))
    vectors = tower.encode_images(pictures)
    assert vectors.dtype == np.float32
    assert (vectors * usual.encode_images(pictures)).sum(axis=1).min() >= 0.9999
    np.testing.assert_array_equal(tower.encode_images(pictures[1:]), vectors[1:])
    assert tower.encode_images([]).shape == (0, tower.dimensions)


@pytest.mark.parametrize("part", [1.0, 1.3])
def test_what_is_not_faster_is_not_used(chinese, tmp_path, part):
    found = opened(chinese, tmp_path, graphics(part=part))
    assert isinstance(found.model, OpenVinoImages)
    assert found.device == "cpu"
    assert found.note == (
        "the processor computes CLIP's pictures, not Intel's graphics: "
        f"they would take {part:.0%} of the processor's time"
    )


class Odd:
    """A tower whose vectors are not those of its network."""

    def __init__(self, tower: HasGraph) -> None:
        self.name, self.dimensions, self.preparation, self.graph = (
            tower.name, tower.dimensions, tower.preparation, tower.graph,
        )  # fmt: skip
        self._tower = tower

    def encode_images(self, prepared: Sequence[Vector]) -> Vector:
        return self._tower.encode_images(prepared)[::-1]


@pytest.mark.parametrize(
    ("precision", "device", "why"),
    [
        ("auto", "CPU", r"their vectors would differ \(cosine -?0\.\d{6}, f32\)"),
        ("auto", "GPU.7", "."),  # whatever OpenVINO says of what is not there, or not fit
    ],
)
def test_what_is_not_as_good_is_not_used(package, tmp_path, precision, device, why):
    usual = on_processor(package, tmp_path)
    timed = []
    there = Graphics(device, lambda: ["CPU", "GPU"], lambda tower, *_: timed.append(tower) or 1.0)
    found = there.opened(lambda: Odd(usual.model), lambda: usual, precision=precision, threads=2)
    assert (found.model, found.device) == (usual.model, "cpu")
    assert re.fullmatch(f"the processor computes CLIP's pictures, not Intel's graphics: {why}.*", found.note)
    assert timed == [usual.model], "what is not as good is not timed"


def test_a_model_that_torch_computes_stays_there(tmp_path):
    write_small_checkpoint(tmp_path / "small.pt")
    found = opened(tmp_path / "small.pt", tmp_path, graphics())
    assert isinstance(found.model, Clip)
    assert found.note.endswith("not Intel's graphics: torch computes this model, not OpenVINO")


def test_an_engine_compares_its_answer_with_the_processors(package, tmp_path):
    devices: list[str] = []

    def open_on(device: str) -> InThisProcess:
        devices.append(device)
        return InThisProcess(opened(package, tmp_path, graphics(), device=device))

    engine = Engine("the CLIP model", open_on, ImageProbe(), device=INTEL_GPU)
    engine.start()
    try:
        engine.settle(30)
        assert devices == [INTEL_GPU, "cpu"]
        assert (engine.state.phase, engine.state.reason, engine.facts.device) == (Phase.READY, "", INTEL_GPU)
    finally:
        engine.close()


def test_int8_is_what_the_graphics_are_compared_with(package, tmp_path):
    usual = on_processor(package, tmp_path).model
    keep_in_int8(usual, list(noise(usual.preparation.side)), tmp_path)
    assert isinstance(opened(package, tmp_path, graphics(), "int8").model, GraphicsImages)
    slow = opened(package, tmp_path, graphics(part=2), "int8")
    assert isinstance(slow.model, Int8Images)
    assert slow.note.endswith("they would take 200% of the processor's time")


@pytest.mark.parametrize("devices", [[], ["CPU"], ["CPU", "NPU"]])
def test_where_there_are_no_such_graphics(chinese, tmp_path, devices):
    with pytest.raises(SettingsError) as raised:
        opened(chinese, tmp_path, replace(graphics(), found=lambda: devices))
    said = str(raised.value)
    assert said.startswith("device 'openvino:GPU' was asked for, but OpenVINO ")
    assert said.endswith("; or use DEVICE=auto or cpu")
    helps = ["intel-opencl-icd", "/dev/dri", f"only {', '.join(devices)}:"] if devices else ["pip install"]
    assert all(words in said for words in helps)


@pytest.mark.parametrize("devices", [["CPU", "GPU"], ["CPU", "GPU.0", "GPU.1"]])
def test_where_they_are_there(devices):
    assert choose_device(INTEL_GPU, found=lambda: devices) == (INTEL_GPU, "")


def test_nobody_else_asks_for_them():
    def never() -> list[str]:
        raise AssertionError("it loads Intel's driver")

    assert choose_device("auto", driver=StubDriver(None), found=never) == ("cpu", "")
    assert choose_device("cpu", found=never) == ("cpu", "")


def test_this_machine_can_be_asked(monkeypatch):
    assert "CPU" in openvino.devices()
    monkeypatch.setattr(openvino, "is_installed", lambda: False)
    assert openvino.devices() == []


def test_as_many_ask_at_a_time_as_photos_are_read():
    class Three(StubClip):
        together = threading.Barrier(3)

        def encode_images(self, prepared: Sequence[Vector]) -> Vector:
            self.together.wait(10)  # ends only where three ask at a time
            return super().encode_images(prepared)

    assert seconds_each(Three(), noise(8)[0], 3) > 0


@pytest.mark.skipif("GPU" in str(openvino.devices()), reason="there are Intel graphics here")
def test_where_they_are_missing_photos_are_read_all_the_same():
    """Text at once: nothing but CLIP's pictures asks for them. CLIP's after some tries, and says why."""
    settings = Settings.load(device=INTEL_GPU, clip_model=str(WEIGHTS), cpu_threads=1, _env_file=None)
    models = load_models(settings, pace=Pace(first=0.05, longest=0.1))
    text = start_text(settings)
    try:
        for engine in (models.engines["ocr"], text.engine):
            assert (engine.state.phase, engine.state.reason) == (Phase.READY, "")
        clip = models.engines["clip"]
        until_ready(clip)
        assert clip.facts.device == models.where == "cpu"
        assert clip.state.reason.startswith("on the processor for now")
        assert "device 'openvino:GPU' was asked for, but OpenVINO finds no Intel graphics" in clip.state.reason
    finally:
        models.close()
        text.engine.close()
