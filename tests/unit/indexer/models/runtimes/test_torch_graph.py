"""PP-OCR's networks in torch give what ONNX Runtime gives."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from indexer.errors import SettingsError, WeightsError
from indexer.models.ocr.names import model_files
from indexer.models.ocr.runtimes import choose_way
from indexer.models.runtimes.onnx import open_session
from indexer.models.runtimes.torch_graph import Graph
from indexer.models.runtimes.torch_session import TorchSession

NETWORKS = [
    (engine, part)
    for engine in ("rapidocr", "rapidocr-onnxruntime")
    for part in ("detector", "classifier", "recogniser")
]
SHAPES = {
    "detector": [(1, 3, 96, 160), (1, 3, 352, 32), (2, 3, 160, 128)],
    "classifier": [(1, 3, 48, 192), (3, 3, 48, 192)],
    "recogniser": [(1, 3, 48, 160), (1, 3, 48, 33), (2, 3, 48, 327)],
}


def network(engine: str, part: str) -> Path:
    return dict(zip(SHAPES, model_files(engine), strict=True))[part]


def some(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def session(path: Path, *, half: bool = False, best: bool = False) -> TorchSession:
    return TorchSession(path, device="cpu", half=half, shape=lambda shape: shape, best=best)


@pytest.mark.parametrize(("engine", "part"), NETWORKS)
def test_the_same_outputs(engine, part):
    path = network(engine, part)
    ours, theirs = session(path), open_session(path)
    for shape in SHAPES[part]:
        (mine,), (other,) = (each.run(None, {theirs.get_inputs()[0].name: some(shape)}) for each in (ours, theirs))
        np.testing.assert_allclose(mine, other, atol=1e-4)


@pytest.mark.parametrize(("engine", "part"), NETWORKS)
def test_nearly_the_same_in_fp16(engine, part):
    """As on a GPU: nothing is too large for it."""
    path = network(engine, part)
    values = some(SHAPES[part][0])
    (mine,), (other,) = (session(path, half=half).run(None, {"x": values}) for half in (True, False))
    assert np.isfinite(mine).all()
    assert np.abs(mine - other).mean() < 0.005
    if part == "recogniser":
        assert np.mean(mine.argmax(-1) == other.argmax(-1)) > 0.9


def test_the_likeliest_characters_alone():
    path, values = network("rapidocr", "recogniser"), some((2, 3, 48, 200))
    (best,) = session(path, best=True).run(None, {"x": values})
    (whole,) = open_session(path).run(None, {"x": values})
    assert (best.argmax(axis=2) == whole.argmax(axis=2)).all()
    np.testing.assert_allclose(best.max(axis=2), whole.max(axis=2), atol=1e-5)
    with pytest.raises(ValueError, match="only the last axis"):
        best.argmax(axis=1)


def made(folder: Path, *nodes: onnx.NodeProto, inputs: tuple[str, ...] = ("x",), **constants: np.ndarray) -> Path:
    """A network from inputs of four dimensions to `y`."""
    shaped = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, "h", "w"]) for name in inputs]
    graph = helper.make_graph(
        list(nodes),
        "network",
        shaped,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    path = folder / "network.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8), path)
    return path


@pytest.mark.parametrize("side", [5, 6, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [2, 3])
def test_edges_as_wide_as_the_output_asks_for(tmp_path, side, stride, kernel):
    how = {"auto_pad": "SAME_UPPER", "strides": [stride, stride], "kernel_shape": [kernel, kernel]}
    path = made(
        tmp_path,
        helper.make_node("Conv", ["x", "w"], ["c"], **how),
        helper.make_node("MaxPool", ["c"], ["y"], **how),
        w=some((3, 2, kernel, kernel)),
    )
    values = some((1, 2, side, side + 1))
    (theirs,) = open_session(path).run(None, {"x": values})
    with torch.inference_mode():
        np.testing.assert_allclose(Graph(path)(torch.from_numpy(values)).numpy(), theirs, atol=1e-5)


def test_what_is_not_known_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"network\.onnx has operators that torch is not told of: Acos, Sin"):
        Graph(made(tmp_path, helper.make_node("Sin", ["x"], ["s"]), helper.make_node("Acos", ["s"], ["y"])))
    with pytest.raises(WeightsError, match="takes 2 inputs, where one is expected"):
        Graph(made(tmp_path, helper.make_node("Add", ["x", "z"], ["y"]), inputs=("x", "z")))
    resize = helper.make_node("Resize", ["x", "", "s"], ["y"], mode="linear")
    with pytest.raises(WeightsError, match="resized in a way that torch is not told of"):
        Graph(made(tmp_path, resize, s=np.array([1, 1, 2, 2], np.float32)))(torch.zeros(1, 2, 4, 4))


def test_it_is_used_only_if_asked_for(monkeypatch):
    detector = network("rapidocr", "detector")
    assert str(choose_way("torch", "auto", "cuda", detector)[0]) == "torch in fp16"
    assert str(choose_way("torch", "fp32", "cuda", detector)[0]) == "torch"
    assert str(choose_way("torch", "auto", "cpu", detector)[0]) == "torch"
    assert choose_way("auto", "auto", "cuda", detector)[0].runtime == "onnxruntime"
    with pytest.raises(SettingsError, match="bf16 is not for OCR_RUNTIME=torch"):
        choose_way("torch", "bf16", "cuda", detector)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="pip install onnx"):
        choose_way("torch", "auto", "cuda", detector)
