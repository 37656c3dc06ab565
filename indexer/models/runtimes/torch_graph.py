"""PP-OCR's networks in torch: an ONNX graph, whose operators are run one after the other.

Only the operators that these networks have, as https://onnx.ai/onnx/operators/ describes them for their opsets, 11 and
12. Shapes are computed on the processor, so that nothing waits for a GPU. In fp16, after `Graph.half`, squares, their
means and probabilities are computed in fp32: they do not fit.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, cast

import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor
from torch.nn import functional

from indexer.errors import WeightsError

Attributes = Mapping[str, Any]
Operator = Callable[..., Tensor]
"""From the attributes and the inputs, None for one that was left out, to the first output."""


class Graph(torch.nn.Module):
    """The network in the ONNX file `path`: `forward` takes its only input and gives its first output.

    Raises:
        WeightsError: it has an operator that is not known here, or several inputs.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        graph = onnx.load(path).graph
        if unknown := {node.op_type for node in graph.node} - {*_OPERATORS, "Constant"}:
            raise WeightsError(f"{path} has operators that torch is not told of: {', '.join(sorted(unknown))}")
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                constants[node.output[0]] = numpy_helper.to_array(_attributes(node)["value"])
        inputs = [each.name for each in graph.input if each.name not in constants]
        if len(inputs) != 1:
            raise WeightsError(f"{path} takes {len(inputs)} inputs, where one is expected")
        [self._input] = inputs
        self._output = graph.output[0].name
        self._buffers_of: dict[str, str] = {}
        self._numbers: dict[str, Tensor] = {}  # shapes and places: they stay on the processor
        scales = {node.input[2] for node in graph.node if node.op_type == "Resize"}
        for number, (name, array) in enumerate(constants.items()):
            value = torch.from_numpy(array.copy())
            if value.is_floating_point() and name not in scales:
                self._buffers_of[name] = f"constant_{number}"
                self.register_buffer(f"constant_{number}", value)
            else:
                self._numbers[name] = value
        nodes = [node for node in graph.node if node.op_type != "Constant"]
        last = {name: number for number, node in enumerate(nodes) for name in node.input}
        self._steps = [
            (
                partial(_OPERATORS[node.op_type], _attributes(node)),
                list(node.input),
                node.output[0],
                [name for name in node.input if last[name] == number and name not in constants],
            )
            for number, node in enumerate(nodes)
        ]

    def forward(self, values: Tensor) -> Tensor:
        """The first output."""
        known: dict[str, Tensor | None] = {"": None, self._input: values, **self._numbers}
        known |= {name: self.get_buffer(buffer) for name, buffer in self._buffers_of.items()}
        for run, inputs, output, done in self._steps:
            result = run(*(known[name] for name in inputs))
            for name in done:  # its memory can be used again
                known.pop(name, None)
            known[output] = result
        return cast(Tensor, known[self._output])


def _attributes(node: Any) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _padding(attributes: Attributes, size: Sequence[int], kernel: Sequence[int]) -> list[int]:
    """How much to add left, right, above and below, as `functional.pad` takes it."""
    if attributes.get("auto_pad", b"NOTSET") == b"SAME_UPPER":
        strides = attributes.get("strides", [1, 1])
        both = [
            max(0, (-(-length // stride) - 1) * stride + side - length)
            for length, stride, side in zip(size, strides, kernel, strict=True)
        ]
        return list(chain.from_iterable((each // 2, each - each // 2) for each in reversed(both)))
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    return [left, right, top, bottom]


def _convolved(attributes: Attributes, values: Tensor, weights: Tensor, bias: Tensor | None = None) -> Tensor:
    left, right, top, bottom = _padding(attributes, values.shape[2:], weights.shape[2:])
    if (left, top) != (right, bottom):
        values = functional.pad(values, [left, right, top, bottom])
        left = top = 0
    how = {"stride": attributes.get("strides", [1, 1]), "dilation": attributes.get("dilations", [1, 1])}
    return functional.conv2d(values, weights, bias, padding=[top, left], groups=attributes.get("group", 1), **how)


def _deconvolved(attributes: Attributes, values: Tensor, weights: Tensor, bias: Tensor | None = None) -> Tensor:
    left, right, top, bottom = _padding(attributes, values.shape[2:], weights.shape[2:])
    if (left, top) != (right, bottom) or "output_shape" in attributes:
        raise WeightsError("a transposed convolution has edges of different widths")
    return functional.conv_transpose2d(
        values,
        weights,
        bias,
        attributes.get("strides", [1, 1]),
        [top, left],
        attributes.get("output_padding", [0, 0]),
        attributes.get("group", 1),
        attributes.get("dilations", [1, 1]),
    )


def _pooled(attributes: Attributes, values: Tensor, *, largest: bool) -> Tensor:
    kernel, strides = attributes["kernel_shape"], attributes.get("strides", [1, 1])
    padding = _padding(attributes, values.shape[2:], kernel)
    if attributes.get("ceil_mode", 0) or (not largest and any(padding)):
        raise WeightsError("a pooling has edges that torch is not told of")
    if largest:
        padded = functional.pad(values, padding, value=float("-inf")) if any(padding) else values
        return functional.max_pool2d(padded, kernel, strides)
    return functional.avg_pool2d(values, kernel, strides)


def _resized(attributes: Attributes, values: Tensor, _: Tensor | None, scales: Tensor | None) -> Tensor:
    how = attributes.get("mode"), attributes.get("coordinate_transformation_mode"), attributes.get("nearest_mode")
    if how != (b"nearest", b"asymmetric", b"floor") or scales is None:
        raise WeightsError(f"it is resized in a way that torch is not told of: {how}")
    return functional.interpolate(values, scale_factor=scales.tolist()[2:], mode="nearest")


def _sliced(
    _: Attributes, values: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None
) -> Tensor:
    places = [slice(None)] * values.dim()
    along = axes.tolist() if axes is not None else range(len(starts))
    by = steps.tolist() if steps is not None else [1] * len(starts)
    for axis, start, end, step in zip(along, starts.tolist(), ends.tolist(), by, strict=True):
        places[axis] = slice(start, end, step)
    return values[tuple(places)]


def _reshaped(_: Attributes, values: Tensor, shape: Tensor) -> Tensor:
    lengths = [values.shape[axis] if length == 0 else length for axis, length in enumerate(shape.tolist())]
    return values.reshape(lengths)


def _squeezed(attributes: Attributes, values: Tensor) -> Tensor:
    for axis in sorted(attributes["axes"], reverse=True):
        values = values.squeeze(axis)
    return values


def _unsqueezed(attributes: Attributes, values: Tensor) -> Tensor:
    for axis in sorted(attributes["axes"]):
        values = values.unsqueeze(axis)
    return values


def _soft_largest(attributes: Attributes, values: Tensor) -> Tensor:
    axis = attributes.get("axis", 1)
    if axis not in (-1, values.dim() - 1):  # before opset 13 all axes from this one on are taken together
        raise WeightsError("a softmax is not over the last axis")
    return values.softmax(-1, dtype=torch.float32)


def _mean(attributes: Attributes, values: Tensor) -> Tensor:
    axes: list[int] = attributes["axes"]
    return values.mean(axes, keepdim=bool(attributes.get("keepdims", 1)))


def _hard_sigmoid(attributes: Attributes, values: Tensor) -> Tensor:
    slope: float = attributes.get("alpha", 0.2)
    offset: float = attributes.get("beta", 0.5)
    return (values * slope + offset).clamp(0, 1)


def _normalised(
    attributes: Attributes, values: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    return functional.batch_norm(values, mean, variance, scale, bias, eps=attributes.get("epsilon", 1e-5))


def _clipped(_: Attributes, values: Tensor, least: Tensor | None = None, most: Tensor | None = None) -> Tensor:
    return values.clamp(least, most)


def _cast(attributes: Attributes, values: Tensor) -> Tensor:
    kind = {onnx.TensorProto.INT32: torch.int32, onnx.TensorProto.INT64: torch.int64}[attributes["to"]]
    return values.to(kind)


_OPERATORS: Mapping[str, Operator] = {
    "Add": lambda _, one, other: one + other,
    "AveragePool": partial(_pooled, largest=False),
    "BatchNormalization": _normalised,
    "Cast": _cast,
    "Clip": _clipped,
    "Concat": lambda attributes, *parts: torch.cat(parts, attributes["axis"]),
    "Conv": _convolved,
    "ConvTranspose": _deconvolved,
    "Div": lambda _, one, other: (one / other).to(one.dtype),
    "Erf": lambda _, values: values.erf(),
    "GlobalAveragePool": lambda _, values: values.mean((2, 3), keepdim=True),
    "HardSigmoid": _hard_sigmoid,
    "Identity": lambda _, values: values,
    "MatMul": lambda _, one, other: one.to(other.dtype) @ other,
    "MaxPool": partial(_pooled, largest=True),
    "Mul": lambda _, one, other: one * other,
    "Pow": lambda _, one, other: one.float() ** other,
    "ReduceMean": _mean,
    "Relu": lambda _, values: values.relu(),
    "Reshape": _reshaped,
    "Resize": _resized,
    "Shape": lambda _, values: torch.tensor(values.shape),
    "Sigmoid": lambda _, values: values.sigmoid(),
    "Slice": _sliced,
    "Softmax": _soft_largest,
    "Sqrt": lambda _, values: values.sqrt(),
    "Squeeze": _squeezed,
    "Sub": lambda _, one, other: one - other,
    "Transpose": lambda attributes, values: values.permute(attributes["perm"]),
    "Unsqueeze": _unsqueezed,
}
