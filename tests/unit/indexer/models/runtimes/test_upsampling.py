"""How a detector ends, computed otherwise: the same output, and other networks are left as they are."""

import numpy as np
import openvino
import pytest
from openvino import opset13 as ops

from indexer.models.ocr.names import model_files
from indexer.models.runtimes import upsampling


def output(model: openvino.Model, values: np.ndarray) -> np.ndarray:
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    return np.array(openvino.Core().compile_model(model, "CPU", exact)([values])[0])


@pytest.mark.parametrize("engine", ["rapidocr", "rapidocr-onnxruntime"])
def test_the_output_is_the_same(engine):
    plain, changed = (openvino.Core().read_model(str(model_files(engine)[0])) for _ in range(2))
    assert upsampling.compute_in_place(changed)
    kinds = [node.get_type_name() for node in changed.get_ordered_ops()]
    assert "ConvolutionBackpropData" not in kinds
    for shape in ((64, 96), (160, 32)):
        values = np.random.default_rng(1).standard_normal((1, 3, *shape), dtype=np.float32)
        before, after = output(plain, values), output(changed, values)
        assert before.shape == after.shape == (1, 1, *shape)
        np.testing.assert_allclose(after, before, atol=1e-6)
        assert before.std() > 0


def network(*, strides=(2, 2), padding=(0, 0), middle=5, last=1, between=lambda node: ops.relu(node)) -> openvino.Model:
    """Ends as a detector does, with random weights and one thing different."""
    rng = np.random.default_rng(0)
    source = ops.parameter([1, 4, 8, 6])
    first = rng.standard_normal((4, middle, 2, 2), dtype=np.float32)
    second = rng.standard_normal((middle, last, 2, 2), dtype=np.float32)
    one = {"dilations": [1, 1], "output_padding": [0, 0]}
    node = ops.convolution_backprop_data(
        source, ops.constant(first), strides=[2, 2], pads_begin=[0, 0], pads_end=[0, 0], **one
    )
    node = ops.add(ops.constant(rng.standard_normal((1, middle, 1, 1), dtype=np.float32)), node)
    node = ops.convolution_backprop_data(
        between(node), ops.constant(second), strides=[*strides], pads_begin=[*padding], pads_end=[*padding], **one
    )
    return openvino.Model([ops.sigmoid(ops.add(node, ops.constant(np.float32(0.5).reshape(1, 1, 1, 1))))], [source])


@pytest.mark.parametrize(
    ("given", "changes"),
    [
        ({}, True),
        ({"strides": (1, 1)}, False),
        ({"padding": (1, 1)}, False),
        ({"last": 3}, False),
        ({"between": lambda node: ops.max_pool(node, [1, 1], [1, 1], [1, 1], [1, 1], [3, 3]).output(0)}, False),
        ({"between": lambda node: ops.add(node, ops.constant(np.ones((1, 1, 1, 12), np.float32)))}, False),
        ({"between": lambda node: ops.add(node, node)}, False),
    ],
)
def test_only_such_an_end_is_changed(given, changes):
    plain, changed = network(**given), network(**given)
    assert upsampling.compute_in_place(changed) == changes
    values = np.random.default_rng(2).standard_normal((1, 4, 8, 6), dtype=np.float32)
    np.testing.assert_allclose(output(changed, values), output(plain, values), atol=1e-5)
