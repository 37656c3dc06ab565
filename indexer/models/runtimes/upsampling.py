"""How detectors of PP-OCR end, computed otherwise: the same numbers in a third of the time.

They end with two transposed convolutions, each of which makes 2 x 2 pixels of one, and a sigmoid. OpenVINO keeps 16
channels for each pixel of the picture for that, though there is one in the end. As no two pixels overlap, such a
convolution is one of 1 x 1 with four times the channels, whose pixels are put in their places afterwards (Shi et al.,
"Real-time single image and video super-resolution using an efficient sub-pixel convolutional neural network",
arXiv 1609.05158). Here both are computed so, and the pixels are put in their places once, at the end.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from openvino import opset13 as ops

Array = npt.NDArray[np.float32]

_ONE = {"strides": [1, 1], "pads_begin": [0, 0], "pads_end": [0, 0], "dilations": [1, 1]}


class _OtherwiseError(Exception):
    """The network does not end so."""


def compute_in_place(model: Any) -> bool:
    """Change how a network of OpenVINO's (an `openvino.Model`) ends. Returns whether it ended as above.

    The output is the same, but for the order in which numbers are added. A network that ends otherwise is left alone.
    """
    try:
        start, convolutions, result = _end(model)
        output = _changed(start, convolutions)
    except _OtherwiseError:
        return False
    result.input(0).replace_source_output(output)
    model.validate_nodes_and_infer_types()
    return True


def _end(model: Any) -> tuple[Any, list[Any], Any]:
    """What enters the first transposed convolution, the nodes from there on, and the node of the output."""
    if len(model.outputs) != 1:
        raise _OtherwiseError
    result = model.output(0).get_node()
    nodes: list[Any] = []
    node = result.input_value(0).get_node()
    while sum(map(_doubles, nodes)) < 2:
        kind = node.get_type_name()
        if kind not in _STEPS and not _doubles(node):
            raise _OtherwiseError
        nodes.insert(0, node)
        node = node.input_value(_before(node)).get_node()
    return nodes[0].input_value(0), nodes, result


def _doubles(node: Any) -> bool:
    """Whether it is a transposed convolution that makes 2 x 2 pixels of one."""
    if node.get_type_name() != "ConvolutionBackpropData" or node.get_input_size() != 2:
        return False
    given = node.get_attributes()
    zeros = all(set(given[name]) == {0} for name in ("pads_begin", "pads_end", "output_padding"))
    return zeros and list(given["strides"]) == [2, 2] and list(node.input(1).get_shape())[2:] == [2, 2]


def _before(node: Any) -> int:
    """Which input is not a constant."""
    return int(_is_constant(node, 0))


def _is_constant(node: Any, number: int) -> bool:
    return bool(node.input_value(number).get_node().get_type_name() == "Constant")


def _constant(node: Any, number: int) -> Array:
    if not _is_constant(node, number):
        raise _OtherwiseError
    values: Array = node.input_value(number).get_node().data
    return values


def _changed(start: Any, nodes: list[Any]) -> Any:
    """The nodes again, on pixels that lie in channels: 4 times as many after the first convolution, 16 at the end."""
    first, second = (node for node in nodes if _doubles(node))
    middle = _constant(first, 1).shape[1]
    if _constant(second, 1).shape[:2] != (middle, 1):
        raise _OtherwiseError
    output, times = start, 1
    for node in nodes:
        if node is first:
            # (inputs, middle, row, column) to (row, column, middle, inputs)
            spread = _constant(first, 1).transpose(2, 3, 1, 0).reshape(4 * middle, -1, 1, 1)
            output = ops.convolution(output, ops.constant(np.ascontiguousarray(spread)), **_ONE).output(0)
            times = 4
        elif node is second:
            output = ops.convolution(output, ops.constant(_apart(_constant(second, 1)[:, 0])), **_ONE).output(0)
            times = 16
        else:
            output = _STEPS[node.get_type_name()](node, output, times)
    return ops.depth_to_space(output, "blocks_first", 4).output(0)


def _apart(weights: Array) -> Array:
    """Weights (channels, 2, 2) of the second convolution, as (16, 4 * channels, 1, 1).

    Each pixel that the first convolution made has channels of its own. Of those come its own four pixels.
    """
    spread = np.zeros((2, 2, 2, 2, 2, 2, len(weights)), np.float32)  # row, its half, column, its half; row, column
    for row in range(2):
        for column in range(2):
            spread[row, :, column, :, row, column] = weights.transpose(1, 2, 0)
    return spread.reshape(16, -1, 1, 1)


def _identity(node: Any, output: Any, times: int) -> Any:
    return output


def _relu(node: Any, output: Any, times: int) -> Any:
    return ops.relu(output).output(0)


def _sigmoid(node: Any, output: Any, times: int) -> Any:
    return ops.sigmoid(output).output(0)


def _add(node: Any, output: Any, times: int) -> Any:
    values = _constant(node, 1 - _before(node))
    if values.ndim != 4 or values.shape != (1, values.size, 1, 1):
        raise _OtherwiseError
    return ops.add(output, ops.constant(np.tile(values, (1, times, 1, 1)))).output(0)


def _batch_norm(node: Any, output: Any, times: int) -> Any:
    values = [ops.constant(np.tile(_constant(node, number), times)) for number in range(1, 5)]
    return ops.batch_norm_inference(output, *values, epsilon=node.get_attributes()["epsilon"]).output(0)


_STEPS: dict[str, Callable[[Any, Any, int], Any]] = {
    "Identity": _identity, "Relu": _relu, "Sigmoid": _sigmoid, "Add": _add, "BatchNormInference": _batch_norm,
}  # fmt: skip
"""What may lie between and after the two: all of it on each channel alone."""
