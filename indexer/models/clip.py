"""Pictures and texts to vectors of one space, with Chinese-CLIP."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import nn

from indexer.errors import IndexerError
from indexer.images import Picture
from indexer.models.checkpoint import open_checkpoint
from indexer.models.device import has_bf16
from indexer.models.torchvision_compat import ensure_torchvision
from indexer.models.towers import Number, Tower, build_towers

# cn_clip's (and OpenAI's) mean and standard deviation of the training pictures, per channel, of values 0..1.
_MEAN = np.array((0.48145466, 0.4578275, 0.40821073), dtype=np.float32)[:, None, None]
_STD = np.array((0.26862954, 0.26130258, 0.27577711), dtype=np.float32)[:, None, None]

_TEXTS_AT_ONCE = 32


class Clip:
    """A loaded Chinese-CLIP model, as `load_clip` returns it; every method may be called from any thread.

    Attributes:
        name: identity of the weights, stored with every result.
        dimensions: width of the vectors.
        resolution: side of the square picture that the image tower sees, in pixels.
        precision: the numbers it computes in; results agree across them to a cosine of 0.9999.
    """

    def __init__(
        self,
        name: str,
        dimensions: int,
        resolution: int,
        towers: dict[Tower, nn.Module],
        precision: Number,
        device: str,
    ) -> None:
        self.name = name
        self.dimensions = dimensions
        self.resolution = resolution
        self.precision = precision
        self._towers = towers
        self._device = device

    def prepare(self, picture: Picture) -> np.ndarray:
        """What the image tower sees: (3, resolution, resolution) float32, equal to cn_clip's `image_transform`.

        Like cn_clip it squashes the whole picture into the square; nothing is cropped away.
        """
        square = Image.fromarray(picture.rgb).resize((self.resolution, self.resolution), Image.Resampling.BICUBIC)
        pixels = np.asarray(square).transpose(2, 0, 1).astype(np.float32)
        pixels /= 255
        pixels -= _MEAN
        pixels /= _STD
        return np.ascontiguousarray(pixels)

    def encode_images(self, prepared: Sequence[np.ndarray]) -> np.ndarray:
        """Vectors of prepared pictures: (n, dimensions) float32, each of length 1.

        A batch that does not fit the GPU's memory is halved until it does.

        Raises:
            IndexerError: the image tower is not loaded, or a vector is not finite.
        """
        if not prepared:
            return np.empty((0, self.dimensions), dtype=np.float32)
        return self._run("image", torch.from_numpy(np.stack(prepared)))

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of texts: (n, dimensions) float32, each of length 1, in the order given.

        As in cn_clip a text is cut after 50 tokens (about 50 Chinese characters), and an empty one has a vector too.

        Raises:
            IndexerError: the text tower is not loaded, or a vector is not finite.
        """
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        if not texts:
            return vectors
        tokens = tokenize(texts)
        lengths = tokens.ne(0).sum(dim=1)
        # Similar lengths together, and no more padding than the longest needs: the result is the same, the work less.
        for rows in lengths.argsort(stable=True).split(_TEXTS_AT_ONCE):
            vectors[rows.numpy()] = self._run("text", tokens[rows, : int(lengths[rows].max())])
        return vectors

    def _run(self, tower: Tower, batch: torch.Tensor) -> np.ndarray:
        module = self._towers.get(tower)
        if module is None:
            raise IndexerError(f"the {tower} tower of {self.name} is not loaded")
        with torch.inference_mode(), torch.autocast(self._device, torch.bfloat16, enabled=self.precision == "bf16"):
            vectors = _halving(lambda part: self._forward(module, part), batch)
            vectors = vectors / vectors.norm(dim=-1, keepdim=True)
        if not torch.isfinite(vectors).all():
            raise IndexerError(f"{self.name} ({self.precision}) computed a vector that is not finite")
        result: np.ndarray = vectors.numpy()
        return result

    def _forward(self, module: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        batch = batch.to(self._device, non_blocking=True)
        if batch.is_floating_point():
            batch = batch.to(next(module.parameters()).dtype if self.precision == "fp32" else _TORCH[self.precision])
        output: torch.Tensor = module(batch)
        return output.float().cpu()


_TORCH = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def _halving(forward: Callable[[torch.Tensor], torch.Tensor], batch: torch.Tensor) -> torch.Tensor:
    """`forward(batch)`, in two halves (and so on) where the device has not the memory for the whole."""
    try:
        return forward(batch)
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            raise
    # Outside the except block: there, the traceback would still hold the tensors of the failed attempt.
    torch.cuda.empty_cache()
    middle = len(batch) // 2
    return torch.cat([_halving(forward, batch[:middle]), _halving(forward, batch[middle:])])


def tokenize(texts: Sequence[str]) -> torch.Tensor:
    """cn_clip's tokens: (n, 52) integers, 0 as padding."""
    ensure_torchvision()
    from cn_clip.clip import tokenize as cn_clip_tokenize

    tokens: torch.Tensor = cn_clip_tokenize(list(texts))
    return tokens


def load_clip(
    model: str,
    *,
    device: str = "cpu",
    download_root: Path | None = None,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    threads: int | None = None,
    towers: tuple[Tower, ...] = ("image", "text"),
) -> Clip:
    """Load a Chinese-CLIP model.

    Args:
        model: one of cn_clip's five names, or the path of a checkpoint (see `checkpoint.open_checkpoint`).
        device: `cpu` or `cuda`.
        download_root: folder of the named models' files; cn_clip's own (`~/.cache/clip`) if not given.
        precision: `auto` is fp16 on CUDA, bf16 on a processor that multiplies it in hardware, otherwise fp32.
        threads: processors that one batch may use. It is torch's setting and so holds for the whole process.
        towers: the halves to load; the other one takes no memory.

    Raises:
        WeightsError: the weights are missing, damaged or do not fit their configuration.
        ValueError: fp16 was asked for on the CPU, where it is slow and inexact.
    """
    number: Number
    if precision != "auto":
        number = precision
    elif device == "cuda":
        number = "fp16"
    else:
        number = "bf16" if has_bf16() else "fp32"
    if number == "fp16" and device == "cpu":
        raise ValueError("precision fp16 needs a GPU; use auto, fp32 or bf16 on the CPU")
    if threads is not None:
        torch.set_num_threads(threads)
    checkpoint = open_checkpoint(model, download_root)
    loaded = build_towers(checkpoint, towers, number, device)
    config = checkpoint.config
    return Clip(checkpoint.name, config["embed_dim"], config["image_resolution"], loaded, number, device)
