"""Packages in Immich's layout with networks of the sizes of real ones, and random weights: as fast, and as large.

The sizes are those of open_clip's model configurations (ViT-B-16-SigLIP2, xlm-roberta-base-ViT-B-32,
nllb-clip-base-siglip), and of FG-CLIP 2's base model (arXiv 2510.10921), which is a SigLIP 2 at 512 pixels.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from onnx import TensorProto
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from indexer.demo.packages.graph import Activation, Array, Attention, Block, Graph, Linear, Norm
from indexer.demo.packages.layout import Layout
from indexer.models import pixels
from indexer.models.clip.cn_clip.small import NOTE
from indexer.models.clip.package.layout import FOLDERS, MODEL

Pool = Literal["first", "last", "mean", "asked"]
"""What becomes the vector: the first row or the last, the mean of all that are no padding, or what a query finds."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789海边日落发票照片猫狗红色的两只在草地上"
_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "eng_Latn", "zho_Hans")
_PADDING = _SPECIAL.index("<pad>")


@dataclass(frozen=True)
class Transformer:
    """A transformer: rows of that width, so many layers and heads, `inner` numbers between the two linear layers."""

    width: int = 768
    layers: int = 12
    heads: int = 12
    inner: int = 3072
    activation: Activation = "gelu"
    first: bool = True
    pool: Pool = "asked"


@dataclass(frozen=True)
class Shape:
    """A package: its files, and the networks of its towers. `side` and `patch` in pixels; `batch` 0 for any.

    `middle`: the width of a layer between the text's vector and the package's, as in open_clip's XLM-R.
    """

    name: str
    dimensions: int
    side: int
    patch: int
    context: int
    vocabulary: int
    image: Transformer = field(default_factory=Transformer)
    text: Transformer = field(default_factory=lambda: Transformer(pool="last"))
    middle: int | None = None
    clean: str | None = None
    openai: bool = False
    batch: int = 0
    external: bool = True


SHAPES = {
    "fg-clip-2": Shape("fg-clip2-base", 768, 512, 16, 64, 256_000, clean="canonicalize", batch=1, external=False),
    "siglip-2": Shape("ViT-B-16-SigLIP2__webli", 768, 224, 16, 64, 256_000, clean="canonicalize"),
    "xlm-r": Shape(
        "XLM-Roberta-Base-ViT-B-32__laion5b_s13b_b90k",
        512,
        224,
        32,
        77,
        250_002,
        Transformer(pool="first"),
        Transformer(first=False, pool="mean"),
        middle=640,
        openai=True,
    ),
    "nllb": Shape(
        "nllb-clip-base-siglip__v1",
        768,
        384,
        16,
        64,
        256_206,
        text=Transformer(1024, 12, 16, 4096, "relu", pool="first"),
        batch=1,
    ),
}
"""The packages that can be written, by short names."""


def write_package(folder: Path, shape: Shape, *, seed: int = 0) -> Path:
    """Write that package into `folder`/NAME: gigabytes, in some ten seconds. Returns its folder."""
    package = folder / shape.name
    mean, std = (pixels.MEAN, pixels.STD) if shape.openai else (np.full(3, 0.5), np.full(3, 0.5))
    Layout(
        shape.dimensions,
        shape.context,
        "<pad>",
        shape.side,
        mean.ravel().tolist(),
        std.ravel().tolist(),
        clean=shape.clean,
        note=NOTE,
    ).write(package, _tokeniser(shape.vocabulary))
    random = _Random(seed)
    save: dict[str, Any] = {"batch": shape.batch, "external": shape.external}
    graph, vectors = _image(shape, random)
    path, sizes = package / FOLDERS["image"] / MODEL, [3, shape.side, shape.side]
    graph.save(path, vectors, shape.dimensions, kind=TensorProto.FLOAT, sizes=sizes, **save)
    graph, vectors = _text(shape, random)
    path, sizes = package / FOLDERS["text"] / MODEL, [shape.context]
    graph.save(path, vectors, shape.dimensions, kind=TensorProto.INT32, sizes=sizes, **save)
    return package


class _Random:
    """Weights that keep the size of a signal from layer to layer."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def __call__(self, *sizes: int, scale: float = 1.0) -> Array:
        return self._random.standard_normal(sizes, dtype=np.float32) * np.float32(scale)

    def linear(self, before: int, after: int) -> Linear:
        return Linear(self(before, after, scale=before**-0.5), self(after, scale=0.02))

    def norm(self, width: int) -> Norm:
        return Norm(1 + self(width, scale=0.02), self(width, scale=0.02))

    def attention(self, width: int, heads: int) -> Attention:
        query, key, value, output = (self.linear(width, width) for _ in range(4))
        return Attention(heads, query, key, value, output)

    def block(self, shape: Transformer) -> Block:
        return Block(
            self.attention(shape.width, shape.heads),
            self.norm(shape.width),
            self.linear(shape.width, shape.inner),
            self.linear(shape.inner, shape.width),
            self.norm(shape.width),
            shape.activation,
            shape.first,
        )


def _image(shape: Shape, random: _Random) -> tuple[Graph, str]:
    """Squares of the picture as rows of a transformer."""
    graph, network = Graph("image"), shape.image
    area = 3 * shape.patch**2
    kernel = random(network.width, 3, shape.patch, shape.patch, scale=area**-0.5)
    rows = graph.patches(graph.source, kernel, random(network.width, scale=0.02))
    count = (shape.side // shape.patch) ** 2
    if network.pool == "first":
        rows, count = graph.op("Pad", rows, graph.constant([0, 1, 0, 0, 0, 0])), count + 1
    rows = graph.plus(rows, random(count, network.width, scale=0.1))
    for _ in range(network.layers):
        rows = graph.block(rows, random.block(network))
    rows = graph.norm(rows, random.norm(network.width))
    if network.pool == "asked":
        query = graph.constant(random(1, 1, network.width))
        rows = graph.attention(rows, random.attention(network.width, network.heads), query=query)
        inner = graph.activate(graph.linear(rows, random.linear(network.width, network.inner)), network.activation)
        rows = graph.op("Add", rows, graph.linear(inner, random.linear(network.inner, network.width)))
    vectors = graph.row(rows, 0)
    if network.width != shape.dimensions:
        vectors = graph.linear(vectors, random.linear(network.width, shape.dimensions))
    return graph, vectors


def _text(shape: Shape, random: _Random) -> tuple[Graph, str]:
    """Tokens as rows of a transformer. SigLIP's attends to padding, too, the others do not."""
    graph, network = Graph("text"), shape.text
    rows = graph.op("Gather", graph.constant(random(shape.vocabulary, network.width)), graph.source)
    rows = graph.plus(rows, random(shape.context, network.width, scale=0.1))
    mask = None if network.pool == "last" else graph.padding_mask(graph.source, _PADDING)
    rows = rows if network.first else graph.norm(rows, random.norm(network.width))
    for _ in range(network.layers):
        rows = graph.block(rows, random.block(network), mask)
    rows = graph.norm(rows, random.norm(network.width)) if network.first else rows
    if network.pool == "mean":
        kept = graph.op("Not", graph.op("Equal", graph.source, graph.constant(np.int32(_PADDING))))
        share = graph.op("Unsqueeze", graph.op("Cast", kept, to=TensorProto.FLOAT), graph.constant([2]))
        total = graph.op("ReduceSum", graph.op("Mul", rows, share), graph.constant([1]), keepdims=0)
        vectors = graph.op("Div", total, graph.op("ReduceSum", share, graph.constant([1]), keepdims=0))
    else:
        vectors = graph.row(rows, 0 if network.pool == "first" else shape.context - 1)
    width = network.width
    if shape.middle is not None:
        vectors = graph.activate(graph.linear(vectors, random.linear(width, shape.middle)), "gelu")
        width = shape.middle
    return graph, graph.linear(vectors, random.linear(width, shape.dimensions))


def _tokeniser(size: int) -> Tokenizer:
    """A tokeniser that knows as many pieces as a real one. Nearly all of them are made up."""
    pieces = [(token, 0.0) for token in _SPECIAL] + [("▁", -3.0), *((letter, -8.0) for letter in _LETTERS)]
    pieces += [(f"▁{number:x}", -20.0) for number in range(size, 2 * size - len(pieces))]
    tokeniser = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    tokeniser.normalizer = normalizers.NFKC()
    tokeniser.pre_tokenizer = pre_tokenizers.Metaspace()
    tokeniser.add_special_tokens([AddedToken(token, special=True) for token in _SPECIAL])
    ends = [("<s>", 0), ("</s>", 2)]
    tokeniser.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    return tokeniser
