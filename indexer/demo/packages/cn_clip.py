"""`python -m indexer.demo.packages.cn_clip FOLDER`: writes the demo's CLIP model as a package in Immich's layout.

Any other checkpoint of cn_clip's is written likewise (`write_package`). The networks are those of `cn_clip.clip.model`
and `cn_clip.clip.modeling_bert`, in fp32.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from onnx import TensorProto

from indexer.demo.drawn import WEIGHTS
from indexer.demo.packages.graph import Array, Attention, Block, Graph, Linear, Norm
from indexer.demo.packages.layout import Layout
from indexer.models import pixels
from indexer.models.clip.cn_clip.checkpoint import open_checkpoint
from indexer.models.clip.cn_clip.shapes import Config
from indexer.models.clip.cn_clip.tokens import CONTEXT, tokeniser
from indexer.models.clip.package.layout import FOLDERS, MODEL

_EPSILON = 1e-5  # torch's own, of batch normalisation
_HEAD = 64  # cn_clip's default: the files of its own models do not name it


def write_package(checkpoint: Path, folder: Path, *, batch: int = 0, external: bool = False) -> Path:
    """Write a checkpoint (`.pt` with its `.json`) as the package `folder`. `batch`: 1, or 0 for any. Returns `folder`.

    Immich's server cuts out the middle of a picture, where cn_clip squeezes all of it.

    Raises:
        WeightsError: the checkpoint cannot be used.
    """
    opened = open_checkpoint(str(checkpoint), None)
    config, weights = {"vision_head_width": _HEAD, **opened.config}, _Weights(opened.tensors())
    side, dimensions = int(config["image_resolution"]), int(config["embed_dim"])
    Layout(
        dimensions,
        CONTEXT,
        "[PAD]",
        side,
        pixels.MEAN.ravel().tolist(),
        pixels.STD.ravel().tolist(),
        resize_mode="squash",
        note=opened.note,
    ).write(folder, tokeniser())
    pictures, texts = Graph("image"), Graph("text")
    vectors = (_residual if isinstance(config["vision_layers"], list) else _transformer)(pictures, weights, config)
    path = folder / FOLDERS["image"] / MODEL
    kind = TensorProto.FLOAT
    pictures.save(path, vectors, dimensions, kind=kind, sizes=[3, side, side], batch=batch, external=external)
    path = folder / FOLDERS["text"] / MODEL
    vectors = _bert(texts, weights, config)
    texts.save(path, vectors, dimensions, kind=TensorProto.INT32, sizes=[CONTEXT], batch=batch, external=external)
    return folder


class _Weights:
    """Parameters by their names in torch, as layers of a graph."""

    def __init__(self, state: Mapping[str, torch.Tensor]) -> None:
        self._state = state

    def __call__(self, name: str) -> Array:
        values: Array = self._state[name].float().numpy()
        return values

    def linear(self, name: str) -> Linear:
        return Linear(self(f"{name}.weight").T, self(f"{name}.bias"))

    def norm(self, name: str, epsilon: float = 1e-5) -> Norm:
        return Norm(self(f"{name}.weight"), self(f"{name}.bias"), epsilon)

    def convolution(self, conv: str, norm: str) -> tuple[Array, Array]:
        """A convolution without bias and the batch normalisation after it, in one kernel and bias."""
        scale = self(f"{norm}.weight") / np.sqrt(self(f"{norm}.running_var") + np.float32(_EPSILON))
        bias = self(f"{norm}.bias") - self(f"{norm}.running_mean") * scale
        return self(f"{conv}.weight") * scale[:, None, None, None], bias


def _residual(graph: Graph, weights: _Weights, config: Config) -> str:
    """cn_clip's `ModifiedResNet`."""

    def conv(values: str, conv: str, norm: str, *, stride: int = 1) -> str:
        kernel, bias = weights.convolution(conv, norm)
        given = graph.constant(kernel), graph.constant(bias)
        return graph.op("Conv", values, *given, strides=[stride] * 2, pads=[kernel.shape[2] // 2] * 4)

    def halved(values: str) -> str:
        return graph.op("AveragePool", values, kernel_shape=[2, 2], strides=[2, 2])

    values = graph.source
    for number in (1, 2, 3):
        stride = 2 if number == 1 else 1
        values = graph.op("Relu", conv(values, f"visual.conv{number}", f"visual.bn{number}", stride=stride))
    values = halved(values)
    for layer, blocks in enumerate(config["vision_layers"], 1):
        for block in range(blocks):
            name = f"visual.layer{layer}.{block}"
            shrinks = layer > 1 and block == 0
            inner = graph.op("Relu", conv(values, f"{name}.conv1", f"{name}.bn1"))
            inner = graph.op("Relu", conv(inner, f"{name}.conv2", f"{name}.bn2"))
            inner = conv(halved(inner) if shrinks else inner, f"{name}.conv3", f"{name}.bn3")
            if block == 0:
                values = conv(halved(values) if shrinks else values, f"{name}.downsample.0", f"{name}.downsample.1")
            values = graph.op("Relu", graph.op("Add", inner, values))
    rows = graph.rows(values)
    rows = graph.op("Concat", graph.op("ReduceMean", rows, axes=[1], keepdims=1), rows, axis=1)
    pool = "visual.attnpool"
    rows = graph.plus(rows, weights(f"{pool}.positional_embedding"))
    heads = config["vision_width"] * 32 // config["vision_head_width"]
    query, key, value, output = (weights.linear(f"{pool}.{part}_proj") for part in "qkvc")
    first = graph.op("Gather", rows, graph.constant([0]), axis=1)
    return graph.row(graph.attention(rows, Attention(heads, query, key, value, output), query=first), 0)


def _transformer(graph: Graph, weights: _Weights, config: Config) -> str:
    """cn_clip's `VisualTransformer`."""
    rows = graph.patches(graph.source, weights("visual.conv1.weight"))
    rows = graph.op("Pad", rows, graph.constant([0, 1, 0, 0, 0, 0]))  # room for the row of the class
    places = weights("visual.positional_embedding").copy()
    places[0] += weights("visual.class_embedding")
    rows = graph.norm(graph.plus(rows, places), weights.norm("visual.ln_pre"))
    heads = config["vision_width"] // config["vision_head_width"]
    for number in range(config["vision_layers"]):
        name = f"visual.transformer.resblocks.{number}"
        matrices = np.split(weights(f"{name}.attn.in_proj_weight"), 3)
        biases = np.split(weights(f"{name}.attn.in_proj_bias"), 3)
        query, key, value = (Linear(matrix.T, bias) for matrix, bias in zip(matrices, biases, strict=True))
        block = Block(
            Attention(heads, query, key, value, weights.linear(f"{name}.attn.out_proj")),
            weights.norm(f"{name}.ln_1"),
            weights.linear(f"{name}.mlp.c_fc"),
            weights.linear(f"{name}.mlp.c_proj"),
            weights.norm(f"{name}.ln_2"),
            "quick_gelu",
        )
        rows = graph.block(rows, block)
    vectors = graph.norm(graph.row(rows, 0), weights.norm("visual.ln_post"))
    return graph.linear(vectors, Linear(weights("visual.proj")))


def _bert(graph: Graph, weights: _Weights, config: Config) -> str:
    """cn_clip's `CLIP.encode_text`."""
    name = "bert.embeddings"
    rows = graph.op("Gather", graph.constant(weights(f"{name}.word_embeddings.weight")), graph.source)
    places = weights(f"{name}.position_embeddings.weight")[:CONTEXT]
    rows = graph.plus(rows, places + weights(f"{name}.token_type_embeddings.weight")[0])
    rows = graph.norm(rows, weights.norm(f"{name}.LayerNorm", 1e-12))
    mask = graph.padding_mask(graph.source, 0)
    for number in range(config["text_num_hidden_layers"]):
        name = f"bert.encoder.layer.{number}"
        query, key, value = (weights.linear(f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        output = weights.linear(f"{name}.attention.output.dense")
        block = Block(
            Attention(config["text_num_attention_heads"], query, key, value, output),
            weights.norm(f"{name}.attention.output.LayerNorm", 1e-12),
            weights.linear(f"{name}.intermediate.dense"),
            weights.linear(f"{name}.output.dense"),
            weights.norm(f"{name}.output.LayerNorm", 1e-12),
            first=False,
        )
        rows = graph.block(rows, block, mask)
    return graph.linear(graph.row(rows, 0), Linear(weights("text_projection")))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m indexer.demo.packages.cn_clip", description=__doc__)
    parser.add_argument("folder", type=Path, help="the package to write")
    parser.add_argument("--checkpoint", type=Path, default=WEIGHTS, help="a .pt with its .json; the demo's by default")
    options = parser.parse_args()
    print(write_package(options.checkpoint, options.folder))  # noqa: T201 - the command's output


if __name__ == "__main__":
    main()
