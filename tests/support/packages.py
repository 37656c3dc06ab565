"""CLIP packages in Immich's layout to test with: small networks of random weights behind the inputs of real ones."""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from indexer.demo.packages.layout import Layout
from indexer.models.clip.cn_clip.small import NOTE

_WIDE = 24  # of the networks, inside
_LANGUAGES = ("eng_Latn", "zho_Hans", "zho_Hant", "deu_Latn", "jpn_Hira", "fra_Latn")


@dataclass(frozen=True)
class Shape:
    """What is asked of a package of that name.

    `batch`: 1, or 0 for any. `external`: weights in files beside the models. `inputs`: of the text tower. `mixes`: made
    for one row, though any number fits: each row then changes the others.
    """

    name: str
    tokeniser: str
    context: int
    dimensions: int
    side: int
    mean: Sequence[float] = (0.5, 0.5, 0.5)
    std: Sequence[float] = (0.5, 0.5, 0.5)
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    clean: str | None = None
    batch: int = 0
    external: bool = False
    inputs: tuple[str, ...] = ("text",)
    mixes: bool = False


_OPENAI = {"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)}

FG_CLIP_2 = Shape("fg-clip2-base", "gemma", 64, 768, 512, resize_mode="squash", clean="canonicalize", batch=1)
SIGLIP_2 = Shape(
    "ViT-B-16-SigLIP2__webli", "gemma", 64, 768, 224, resize_mode="squash", clean="canonicalize", external=True
)
XLM_R = Shape("XLM-Roberta-Base-ViT-B-32__laion5b_s13b_b90k", "xlm-r", 77, 512, 224, **_OPENAI, external=True)
NLLB = Shape("nllb-clip-base-siglip__v1", "nllb", 64, 768, 384, interpolation="bilinear", batch=1)
M_CLIP = Shape("XLM-Roberta-Large-Vit-B-32", "xlm-r", 77, 512, 224, **_OPENAI, inputs=("input_ids", "attention_mask"))
SHAPES = (FG_CLIP_2, SIGLIP_2, XLM_R, NLLB, M_CLIP)


def write_package(folder: Path, shape: Shape, *, seed: int = 0) -> Path:
    """Write that package into `folder`/NAME. The same seed gives the same files. Returns its folder."""
    package = folder / shape.name
    random = np.random.default_rng(seed)
    tokeniser, pad = _tokeniser(shape.tokeniser)
    Layout(
        shape.dimensions,
        shape.context,
        pad,
        shape.side,
        shape.mean,
        shape.std,
        shape.interpolation,
        shape.resize_mode,
        shape.clean,
        NOTE,
    ).write(package, tokeniser)
    _save(package / "textual" / "model.onnx", _text_network(shape, tokeniser.get_vocab_size(), random), shape.external)
    _save(package / "visual" / "model.onnx", _image_network(shape, random), shape.external)
    return package


def _save(path: Path, model: onnx.ModelProto, external: bool) -> None:
    if external:
        onnx.save_model(model, path, save_as_external_data=True, location="model.onnx.data", size_threshold=1024)
    else:
        onnx.save_model(model, path)


def _text_network(shape: Shape, vocabulary: int, random: np.random.Generator) -> onnx.ModelProto:
    """Each token at each place has a part in the vector; padding has none where there is a mask."""
    weights = {
        "table": random.standard_normal((vocabulary, _WIDE)),
        "places": random.standard_normal((1, shape.context, _WIDE)),
        "projection": random.standard_normal((_WIDE, shape.dimensions)),
    }
    nodes = [
        helper.make_node("Gather", ["table", shape.inputs[0]], ["tokens"]),
        helper.make_node("Mul", ["tokens", "places"], ["placed"]),
    ]
    last = "placed"
    if len(shape.inputs) > 1:
        nodes += [
            helper.make_node("Cast", [shape.inputs[1]], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["mask", "last"], ["masked"]),
            helper.make_node("Mul", ["placed", "masked"], ["seen"]),
        ]
        last = "seen"
    nodes += [
        helper.make_node("ReduceSum", [last, "second"], ["sum"], keepdims=0),
        helper.make_node("Tanh", ["sum"], ["bent"]),
        helper.make_node("MatMul", ["bent", "projection"], ["embedding"]),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT32, [shape.batch or "n", shape.context])
        for name in shape.inputs
    ]
    return _model(shape, nodes, inputs, weights)


def _image_network(shape: Shape, random: np.random.Generator) -> onnx.ModelProto:
    """Patches, each with its own part in the vector."""
    patch = shape.side // 8
    weights = {
        "patches": random.standard_normal((_WIDE, 3, patch, patch)) / patch,
        "projection": random.standard_normal((_WIDE * 64, shape.dimensions)),
    }
    nodes = [
        helper.make_node("Conv", ["image", "patches"], ["grid"], strides=[patch, patch]),
        helper.make_node("Tanh", ["grid"], ["bent"]),
        helper.make_node("Flatten", ["bent"], ["flat"]),
        helper.make_node("MatMul", ["flat", "projection"], ["embedding"]),
    ]
    sizes = [shape.batch or "n", 3, shape.side, shape.side]
    return _model(shape, nodes, [helper.make_tensor_value_info("image", TensorProto.FLOAT, sizes)], weights)


def _model(shape: Shape, nodes: list[Any], inputs: list[Any], weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    made = [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()]
    made += [numpy_helper.from_array(np.array([1]), "second"), numpy_helper.from_array(np.array([2]), "last")]
    if shape.mixes:
        nodes = [*nodes[:-1], helper.make_node("MatMul", list(nodes[-1].input), ["own"])]
        nodes += [helper.make_node("ReduceMean", ["own"], ["all"], axes=[0], keepdims=1)]
        nodes += [helper.make_node("Add", ["own", "all"], ["embedding"])]
    used = {name for node in nodes for name in node.input}
    output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [shape.batch or "n", shape.dimensions])
    graph = helper.make_graph(nodes, "tower", inputs, [output], [each for each in made if each.name in used])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _tokeniser(kind: str) -> tuple[Tokenizer, str]:
    """A tokeniser of that kind, which knows few words and has other characters in pieces; and its padding token."""
    return {"gemma": _gemma, "xlm-r": _xlm_r, "nllb": _nllb}[kind]()


def _gemma() -> tuple[Tokenizer, str]:
    """BPE whose unknown characters become bytes. A text ends with `<eos>`."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    pieces = [f"<0x{byte:02X}>" for byte in range(256)] + [*"abcdefghijklmnopqrstuvwxyz0123456789▁照片海边日落发票猫狗"]
    merges = [("海", "边"), ("日", "落"), ("发", "票"), ("t", "h"), ("th", "e"), ("▁", "the")]
    pieces += ["".join(pair) for pair in merges]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(special + pieces))}
    tokeniser = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokeniser.normalizer = normalizers.Replace(" ", "▁")
    tokeniser.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokeniser.add_special_tokens([AddedToken(token, special=True) for token in special])
    tokeniser.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    return tokeniser, "<pad>"


def _unigram(special: list[str]) -> Tokenizer:
    """Unigram over words that begin with `▁`, normalised as in XLM-R: NFKC, single spaces."""
    letters = string.ascii_letters + string.digits + "äöüßéè.,!?-'€的照片海边日落发票猫狗雪写真かなカナ사진"
    pieces = [(token, 0.0) for token in special]
    pieces += [(word, -4.0) for word in ("▁the", "▁photo", "海边", "日落", "发票", "▁und", "▁la", "写真", "사진")]
    pieces += [("▁", -3.0), *((letter, -8.0) for letter in dict.fromkeys(letters))]
    tokeniser = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    tokeniser.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("  ", " ")])
    tokeniser.pre_tokenizer = pre_tokenizers.Metaspace()
    tokeniser.add_special_tokens([AddedToken(token, special=True) for token in special])
    return tokeniser


def _xlm_r() -> tuple[Tokenizer, str]:
    """A text begins with `<s>` and ends with `</s>`."""
    tokeniser = _unigram(["<s>", "<pad>", "</s>", "<unk>"])
    tokeniser.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokeniser, "<pad>"


def _nllb() -> tuple[Tokenizer, str]:
    """A text begins with a token of its language: `eng_Latn` by itself, before which Immich's stands."""
    tokeniser = _unigram(["<s>", "<pad>", "</s>", "<unk>", *_LANGUAGES])
    tokeniser.post_processor = processors.TemplateProcessing(
        single="eng_Latn $A </s>", special_tokens=[("eng_Latn", 4), ("</s>", 2)]
    )
    return tokeniser, "<pad>"
