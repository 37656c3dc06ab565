"""An ONNX model, made node by node, with the layers of which CLIP models consist."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, save_model

Array = npt.NDArray[np.float32]
Activation = Literal["gelu", "quick_gelu", "relu"]

_OPSET, _IR = 17, 8  # what Immich's own packages need at most
_LARGE = 1024  # bytes: smaller tensors, such as shapes, stay in the model's own file


@dataclass(frozen=True)
class Linear:
    """A linear layer: a matrix (in, out), and what is added (out)."""

    matrix: Array
    bias: Array | None = None


@dataclass(frozen=True)
class Norm:
    """A layer normalisation over the last axis."""

    scale: Array
    bias: Array
    epsilon: float = 1e-5


@dataclass(frozen=True)
class Attention:
    """Self-attention of `heads` heads: queries, keys, values, and what they give together."""

    heads: int
    query: Linear
    key: Linear
    value: Linear
    output: Linear


@dataclass(frozen=True)
class Block:
    """A layer of a transformer. `first`: normalise before attention and before the two linear layers, not after."""

    attention: Attention
    attention_norm: Norm
    up: Linear
    down: Linear
    norm: Norm
    activation: Activation = "gelu"
    first: bool = True


class Graph:
    """A model under construction. What its methods take and return are names of tensors. Rows are (n, length, width).

    `source` is the name of its only input.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._nodes: list[NodeProto] = []
        self._tensors: list[TensorProto] = []
        self._numbers = count()

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """The output of one operator of ONNX."""
        name = f"{kind}_{next(self._numbers)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def constant(self, values: npt.ArrayLike) -> str:
        """Weights, or other numbers, kept in the model."""
        name = f"weight_{next(self._numbers)}"
        self._tensors.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def plus(self, left: str, right: npt.ArrayLike) -> str:
        """The sum with numbers that are known."""
        return self.op("Add", left, self.constant(right))

    def linear(self, rows: str, layer: Linear) -> str:
        """(..., in) to (..., out)."""
        product = self.op("MatMul", rows, self.constant(layer.matrix))
        return product if layer.bias is None else self.plus(product, layer.bias)

    def norm(self, rows: str, layer: Norm) -> str:
        """The same shape."""
        scale, bias = self.constant(layer.scale), self.constant(layer.bias)
        return self.op("LayerNormalization", rows, scale, bias, axis=-1, epsilon=layer.epsilon)

    def attention(self, rows: str, layer: Attention, *, query: str | None = None, mask: str | None = None) -> str:
        """Rows of the same width. `query`: other rows that ask. `mask`: (n, 1, 1, length), added to the scores."""
        asked = self._heads(self.linear(query or rows, layer.query), layer.heads, [0, 2, 1, 3])
        keys = self._heads(self.linear(rows, layer.key), layer.heads, [0, 2, 3, 1])
        values = self._heads(self.linear(rows, layer.value), layer.heads, [0, 2, 1, 3])
        wide = layer.query.matrix.shape[1] // layer.heads
        scores = self.op("MatMul", self.op("Mul", asked, self.constant(np.float32(wide**-0.5))), keys)
        weights = self.op("Softmax", scores if mask is None else self.op("Add", scores, mask), axis=-1)
        mixed = self.op("Transpose", self.op("MatMul", weights, values), perm=[0, 2, 1, 3])
        return self.linear(self.op("Reshape", mixed, self.constant([0, 0, wide * layer.heads])), layer.output)

    def _heads(self, rows: str, heads: int, order: Sequence[int]) -> str:
        return self.op("Transpose", self.op("Reshape", rows, self.constant([0, 0, heads, -1])), perm=list(order))

    def block(self, rows: str, layer: Block, mask: str | None = None) -> str:
        """A layer of a transformer."""
        asked = self.norm(rows, layer.attention_norm) if layer.first else rows
        rows = self.op("Add", rows, self.attention(asked, layer.attention, mask=mask))
        rows = rows if layer.first else self.norm(rows, layer.attention_norm)
        inner = self.linear(self.norm(rows, layer.norm) if layer.first else rows, layer.up)
        rows = self.op("Add", rows, self.linear(self.activate(inner, layer.activation), layer.down))
        return rows if layer.first else self.norm(rows, layer.norm)

    def activate(self, values: str, kind: Activation) -> str:
        """The same shape."""
        if kind == "relu":
            return self.op("Relu", values)
        if kind == "quick_gelu":
            return self.op("Mul", values, self.op("Sigmoid", self.op("Mul", values, self.constant(np.float32(1.702)))))
        bent = self.op("Erf", self.op("Div", values, self.constant(np.float32(math.sqrt(2)))))
        half = self.op("Mul", values, self.plus(bent, np.float32(1)))
        return self.op("Mul", half, self.constant(np.float32(0.5)))

    def patches(self, pictures: str, kernel: Array, bias: Array | None = None) -> str:
        """(n, 3, height, width) to rows, one for each square as large as the kernel (width, 3, patch, patch)."""
        given = [] if bias is None else [self.constant(bias)]
        grid = self.op("Conv", pictures, self.constant(kernel), *given, strides=list(kernel.shape[2:]))
        return self.rows(grid)

    def rows(self, grid: str) -> str:
        """(n, width, height, breadth) to (n, height * breadth, width)."""
        return self.op("Transpose", self.op("Reshape", grid, self.constant([0, 0, -1])), perm=[0, 2, 1])

    def row(self, rows: str, number: int) -> str:
        """One row of each, (n, width)."""
        return self.op("Gather", rows, self.constant(np.int64(number)), axis=1)

    def padding_mask(self, tokens: str, padding: int) -> str:
        """(n, 1, 1, length) to add to scores: very negative at padding."""
        padded = self.op("Equal", tokens, self.constant(np.int32(padding)))
        values = self.op("Where", padded, self.constant(np.float32(-10000)), self.constant(np.float32(0)))
        return self.op("Unsqueeze", values, self.constant([1, 2]))

    def save(
        self, path: Path, output: str, dimensions: int, *, kind: int, sizes: Sequence[int], batch: int, external: bool
    ) -> None:
        """Write the model.

        Args:
            path: of its file.
            output: the tensor that is its output, named `embedding`, (n, `dimensions`) float32.
            dimensions: see there.
            kind: the type of the input, one of `TensorProto`'s.
            sizes: of the input, without the batch.
            batch: 0 for any.
            external: keep weights in `model.onnx.data` beside it. Without that, two gigabytes are the most.
        """
        self._nodes.append(helper.make_node("Identity", [output], ["embedding"]))
        graph = helper.make_graph(
            self._nodes,
            "tower",
            [helper.make_tensor_value_info(self.source, kind, [batch or "n", *sizes])],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch or "n", dimensions])],
            self._tensors,
        )
        model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
        path.parent.mkdir(parents=True, exist_ok=True)
        if external:
            save_model(model, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=_LARGE)
        else:
            save_model(model, path)
