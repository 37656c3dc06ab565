"""Two tiny networks in the form of InsightFace's: one finds red squares, one tells faces apart by their colours.

They have the inputs and outputs of `det_10g.onnx` and `w600k_r50.onnx`, so that InsightFace's own code around the
networks is put to the test: what a picture is scaled to, which output means what, how faces are laid upright.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STRIDES = (8, 16, 32)
REACH = 2  # a found square reaches this many strides of 32 from its centre, to each side
# Where InsightFace wants the eyes, the nose and the mouth's corners in the upright crop of 112 pixels.
UPRIGHT = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])


def detector(path: Path, *, turned: bool = False) -> Path:
    """Finds cells of 32 pixels whose middle is red; the redder the surer. `turned`: its faces stand on their head."""
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    outputs: dict[str, list[str]] = {"score": [], "box": [], "kps": []}
    offsets = (UPRIGHT - 56) / 112 * (2 * REACH)
    points = (-offsets if turned else offsets).astype(np.float32).reshape(1, 10)

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    for stride in STRIDES:
        cells = (640 // stride) ** 2
        weights = np.array([1, -1, -1], dtype=np.float32).reshape(1, 3, 1, 1) * 2
        bias = np.array([-4 if stride == 32 else -1000], dtype=np.float32)
        pooled, red, score = f"pooled{stride}", f"red{stride}", f"score{stride}"
        nodes += [
            helper.make_node("MaxPool", ["input.1"], [pooled], kernel_shape=[1, 1], strides=[stride, stride]),
            helper.make_node("Conv", [pooled, constant(f"w{stride}", weights), constant(f"b{stride}", bias)], [red]),
            helper.make_node("Sigmoid", [red], [f"sure{stride}"]),
            helper.make_node(
                "Reshape",
                [f"sure{stride}", constant(f"column{stride}", np.array([-1, 1], dtype=np.int64))],
                [f"one{stride}"],
            ),
            # two anchors at each place
            helper.make_node("Concat", [f"one{stride}", f"one{stride}"], [f"two{stride}"], axis=1),
            helper.make_node("Reshape", [f"two{stride}", f"column{stride}"], [score]),
        ]
        box = constant(f"box{stride}", np.full((2 * cells, 4), REACH, dtype=np.float32))
        kps = constant(f"kps{stride}", np.repeat(points, 2 * cells, axis=0))
        nodes += [
            helper.make_node("Identity", [box], [f"out_{box}"]),
            helper.make_node("Identity", [kps], [f"out_{kps}"]),
        ]
        for kind, name in (("score", score), ("box", f"out_{box}"), ("kps", f"out_{kps}")):
            outputs[kind].append(name)
    shapes = {"score": 1, "box": 4, "kps": 10}
    infos = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, shapes[kind]])
        for kind, names in outputs.items()
        for name in names
    ]
    return _save(path, nodes, [("input.1", [1, 3, "?", "?"])], infos, constants)


def recogniser(path: Path, *, batch: bool = True, seed: int = 7, nonsense: bool = False) -> Path:
    """512 numbers that follow from the mean colours of 7 x 7 fields. `nonsense`: none of them is a number."""
    mix = np.random.default_rng(seed).standard_normal((7 * 7 * 3, 512)).astype(np.float32)
    if nonsense:
        mix[:] = np.nan
    nodes = [
        helper.make_node("AveragePool", ["input.1"], ["fields"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Flatten", ["fields"], ["flat"]),
        helper.make_node("MatMul", ["flat", "mix"], ["683"]),
    ]
    count = "None" if batch else 1
    output = helper.make_tensor_value_info("683", TensorProto.FLOAT, [count, 512])
    return _save(path, nodes, [("input.1", [count, 3, 112, 112])], [output], [numpy_helper.from_array(mix, "mix")])


def embedding(upright: np.ndarray) -> np.ndarray:
    """What the recogniser makes of an RGB picture of 112 x 112, worked out by hand."""
    mix = np.random.default_rng(7).standard_normal((7 * 7 * 3, 512)).astype(np.float32)
    normal = (upright.astype(np.float64) - 127.5) / 127.5
    fields = normal.reshape(7, 16, 7, 16, 3).mean(axis=(1, 3))
    return fields.transpose(2, 0, 1).reshape(-1) @ mix


def _save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[tuple[str, list[int | str]]],
    outputs: list[onnx.ValueInfoProto],
    constants: list[onnx.TensorProto],
) -> Path:
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs]
    graph = helper.make_graph(nodes, path.stem, infos, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path
