"""Models whose input is padded to few shapes: the answers are those without padding. Denormal numbers are zero."""

import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from indexer.models.runtimes.fixed_shapes import KEPT
from indexer.models.runtimes.onnx import FixedShapes, open_session


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """(n, 3, height, width) to a map of that size and the largest value of each channel."""
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    sizes = ["n", 3, "height", "width"]
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["input", "input"], ["map"]),
            helper.make_node("GlobalMaxPool", ["input"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["largest"]),
        ],
        "model",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, sizes)],
        [
            helper.make_tensor_value_info("map", TensorProto.FLOAT, sizes),
            helper.make_tensor_value_info("largest", TensorProto.FLOAT, ["n", 3]),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


CPU = ["CPUExecutionProvider"]


def fixed(model: Path, *, scarce: int | None = None) -> tuple[FixedShapes, list[list[tuple[int, ...]]]]:
    """The model with inputs padded to (4, 3, tens, tens), and what each of its sessions was given.

    The session of that number finds no memory.
    """
    sessions: list[list[tuple[int, ...]]] = []

    class Watched(onnxruntime.InferenceSession):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self.seen: list[tuple[int, ...]] = []
            self.is_scarce = len(sessions) == scarce
            sessions.append(self.seen)

        def run(self, names, feed, options):
            if self.is_scarce:
                raise RuntimeError("Failed to allocate memory for requested buffer")
            self.seen.append(feed["input"].shape)
            return super().run(names, feed, options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnxruntime, "InferenceSession", Watched)
        padded = FixedShapes(
            model,
            onnxruntime.SessionOptions(),
            CPU,
            lambda shape: (4, 3, -(-shape[2] // 10) * 10, -(-shape[3] // 10) * 10),
        )
    return padded, sessions


def some(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


@pytest.mark.parametrize("shape", [(1, 3, 7, 12), (4, 3, 10, 10), (3, 3, 1, 1), (9, 3, 11, 29)])
def test_the_answers_are_those_without_padding(model, shape):
    padded, sessions = fixed(model)
    values = some(*shape)
    ours, plain = padded.run(None, {"input": values}), open_session(model).run(None, {"input": values})
    assert all(np.array_equal(one, other) for one, other in zip(ours, plain, strict=True))
    assert np.array_equal(padded.run(["largest"], {"input": values})[0], plain[1])
    assert len(sessions) == 1


def test_no_session_sees_two_shapes(model):
    padded, sessions = fixed(model)
    for height, width in ((5, 5), (15, 5), (9, 10), (3, 2), (20, 1)):
        padded.run(None, {"input": some(1, 3, height, width)})
    assert [set(seen) for seen in sessions] == [{(4, 3, 10, 10)}, {(4, 3, 20, 10)}]


def test_the_shapes_used_last_are_kept(model):
    padded, sessions = fixed(model)
    for tens in (*range(1, KEPT + 1), 1, KEPT + 1, 1, 2):
        padded.run(None, {"input": some(1, 3, 10 * tens, 10)})
    assert len(sessions) == KEPT + 2  # 2 was given up for the one too many, 1 was not


def test_memory_held_for_other_shapes_is_given_back_where_it_is_short(model):
    padded, sessions = fixed(model, scarce=1)
    padded.run(None, {"input": some(1, 3, 5, 5)})
    values = some(1, 3, 5, 15)
    assert np.array_equal(padded.run(["map"], {"input": values})[0], values**2)
    assert sessions == [[(4, 3, 10, 10)], [], [(4, 3, 10, 20)]]
    padded.run(None, {"input": some(1, 3, 5, 5)})
    assert len(sessions) == 4, "that of the other shape was given up"


def test_what_fails_twice_is_told(model):
    padded, _ = fixed(model)
    with pytest.raises(Exception, match="INVALID_ARGUMENT"):
        padded.run(None, {"input": some(1, 3, 5, 5).astype(np.int64)})


@pytest.mark.skipif(platform.machine() != "x86_64", reason="elsewhere they cost nothing")
@pytest.mark.parametrize("threads", [1, 2])
def test_denormal_numbers_are_zero_for_the_models_and_for_nobody_else(model, threads):
    small = np.full((1, 3, 64, 64), 1e-20, dtype=np.float32)

    def squared(*_: object) -> tuple[float, float]:
        (ours, _) = session.run(None, {"input": small})
        return float(ours.max()), float((small * small).max())

    with ThreadPoolExecutor(1) as earlier:
        earlier.submit(int).result()
        session = open_session(model, threads=threads)
        for ours, others in (squared(), earlier.submit(squared).result()):
            assert ours == 0
            assert others > 0
