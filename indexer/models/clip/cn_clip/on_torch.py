"""Turns pictures and texts into vectors of one space, with Chinese-CLIP."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from indexer.errors import IndexerError
from indexer.images import Picture
from indexer.models import pixels
from indexer.models.clip.cn_clip.checkpoint import Checkpoint, open_checkpoint
from indexer.models.clip.cn_clip.imported import import_cn_clip
from indexer.models.clip.cn_clip.tokens import batches
from indexer.models.clip.cn_clip.towers import in_fp32, load_tower, narrow, pack, widen
from indexer.models.clip.maker import EQUAL, Tower
from indexer.models.runtimes.device import fastest_format

Precision = Literal["fp32", "bf16", "fp16"]

log = logging.getLogger(__name__)

_NARROW: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}
_ROWS: dict[Tower, int] = {"image": 197, "text": 14}  # of a picture in patches of 16 pixels, and of a typical search


class Clip:
    """A loaded Chinese-CLIP model, as `load_clip` returns it. Every method may be called from any thread.

    Attributes:
        name: identity of the weights, stored with every result.
        dimensions: width of the vectors.
        resolution: side in pixels of the square picture that the image tower takes.
        device: `cpu` or `cuda`, where it computes.
        precision: the number format of each loaded tower. Vectors in two formats have a cosine of at least 0.9999.
    """

    def __init__(
        self,
        name: str,
        dimensions: int,
        resolution: int,
        towers: dict[Tower, nn.Module],
        precision: dict[Tower, Precision],
        device: str,
        threads: int | None = None,
    ) -> None:
        self.name = name
        self.dimensions = dimensions
        self.resolution = resolution
        self.precision = precision
        self._towers = towers
        self.device = device
        self._threads = threads

    by_language = False
    """Whether the vector of a text depends on the language in which it was asked."""

    @property
    def preparation(self) -> pixels.Preparation:
        """From a picture to the input of the image tower."""
        return pixels.Squeezed(self.resolution)

    def prepare(self, picture: Picture) -> np.ndarray:
        """The input of the image tower."""
        return self.preparation(picture)

    def encode_images(self, prepared: Sequence[np.ndarray]) -> np.ndarray:
        """Vectors of prepared pictures: (n, dimensions) float32, each of length 1.

        A batch that needs more memory than the GPU has is halved until it fits.

        Raises:
            IndexerError: the image tower is not loaded, or a vector is not finite.
        """
        if not prepared:
            return np.empty((0, self.dimensions), dtype=np.float32)
        return self._run("image", torch.from_numpy(np.stack(prepared)))

    def encode_texts(self, texts: Sequence[str], language: str | None = None) -> np.ndarray:
        """Vectors of texts: (n, dimensions) float32, each of length 1, in the same order. `language` changes nothing.

        As in cn_clip, a text is cut after 50 tokens (about 50 Chinese characters), and an empty text has a vector, too.

        Raises:
            IndexerError: the text tower is not loaded, or a vector is not finite.
        """
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        if texts:
            for rows, tokens in batches(tokenize(texts).numpy()):
                vectors[rows] = self._run("text", torch.from_numpy(tokens))
        return vectors

    def _run(self, tower: Tower, batch: torch.Tensor) -> np.ndarray:
        if tower not in self._towers:
            raise IndexerError(f"the {tower} half of {self.name} is not loaded")
        precision = self.precision[tower]
        # torch stores this number for each calling thread, so two models of one process may have different ones.
        if self._threads is not None and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        vectors = _halving(lambda part: _forward(self._towers[tower], part, precision, self.device), batch)
        if not np.isfinite(vectors).all():
            raise IndexerError(f"{self.name} computed a vector that is not finite ({tower}, {precision})")
        return vectors


@torch.inference_mode()
def _forward(module: nn.Module, batch: torch.Tensor, precision: Precision, device: str) -> np.ndarray:
    """Vectors of length 1, fp32, on the CPU."""
    whole = device == "cuda" and precision == "fp16"  # then the whole tower is fp16, as in cn_clip
    if whole and batch.is_floating_point():
        batch = batch.half()
    narrow_by = None if whole else _NARROW.get(precision)
    with torch.autocast(device, narrow_by, enabled=narrow_by is not None):
        vectors = module(batch.to(device)).float()
    normalised: np.ndarray = (vectors / vectors.norm(dim=-1, keepdim=True)).cpu().numpy()
    return normalised


def _halving(forward: Callable[[torch.Tensor], np.ndarray], batch: torch.Tensor) -> np.ndarray:
    """`forward(batch)`. Where the device has too little memory: in two halves, and so on."""
    try:
        return forward(batch)
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            raise
    # Outside of the except block: inside it the traceback would keep the tensors of the failed attempt alive.
    torch.cuda.empty_cache()
    middle = len(batch) // 2
    return np.concatenate([_halving(forward, batch[:middle]), _halving(forward, batch[middle:])])


def tokenize(texts: Sequence[str]) -> torch.Tensor:
    """cn_clip's tokens: (n, 52) integers, 0 as padding."""
    import_cn_clip()
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
        download_root: folder of the named models' files. By default cn_clip's own (`~/.cache/clip`).
        precision: `auto` is fp16 on CUDA. On a processor it is, for each tower, the fastest format there, if these
            weights give nearly the same vectors as in fp32. That is measured while they are loaded.
        threads: processors that one batch may use. With 1, several threads can encode at the same time, each on its own
            processor.
        towers: the towers to load. The other one takes no memory.

    Raises:
        WeightsError: the weights are missing, damaged or do not fit their configuration.
    """
    # In a thread that ends, so that its OpenMP threads end, too. torch keeps OpenMP threads for each thread that calls
    # it. With a second set there are more threads than processors, and then OpenMP lets them sleep at each step.
    with ThreadPoolExecutor(1) as loader:
        return loader.submit(_load, open_checkpoint(model, download_root), device, precision, threads, towers).result()


def _load(
    checkpoint: Checkpoint,
    device: str,
    precision: Literal["auto", "fp32", "bf16", "fp16"],
    threads: int | None,
    towers: tuple[Tower, ...],
) -> Clip:
    if threads is not None:
        torch.set_num_threads(threads)
    loaded: dict[Tower, nn.Module] = {}
    used: dict[Tower, Precision] = {}
    for tower in towers:
        if precision == "auto" and device == "cpu":
            loaded[tower], used[tower] = _load_fastest(tower, checkpoint)
        else:
            used[tower] = wanted = "fp16" if precision == "auto" else precision
            loaded[tower] = load_tower(tower, checkpoint, device)
            if wanted == "fp32":
                _to_fp32(tower, loaded[tower], device)
            elif device == "cpu" or wanted == "bf16":  # in fp16 a GPU computes with all of it as it is
                narrow(loaded[tower], _NARROW[wanted])
    config = checkpoint.config
    return Clip(checkpoint.name, config["embed_dim"], config["image_resolution"], loaded, used, device, threads)


def _load_fastest(tower: Tower, checkpoint: Checkpoint) -> tuple[nn.Module, Precision]:
    """A tower in the processor's fastest number format in which these weights give nearly the same vectors."""
    module = load_tower(tower, checkpoint, "cpu")
    fastest = fastest_format(_ROWS[tower])
    if fastest != "fp32":
        probe = probe_of(tower, checkpoint.config["image_resolution"])
        with in_fp32(module):
            exact = _forward(module, probe, "fp32", "cpu")
        narrow(module, _NARROW[fastest])
        cosine = float((exact * _forward(module, probe, fastest, "cpu")).sum(axis=1).min())
        if cosine >= EQUAL:
            return module, fastest
        log.info("%s: %s would differ (%s, cosine %.6f), using fp32", checkpoint.name, fastest, tower, cosine)
        del module  # never both in memory
        module = load_tower(tower, checkpoint, "cpu")
    _to_fp32(tower, module, "cpu")
    return module, "fp32"


def _to_fp32(tower: Tower, module: nn.Module, device: str) -> None:
    if tower == "text" and device == "cpu":
        pack(module)  # for pictures it gains nothing: they have many rows for each matrix
    widen(module.parameters())


def vectors_of(module: nn.Module, inputs: torch.Tensor) -> np.ndarray:
    """What a tower in fp32 on the CPU makes of inputs: (n, dimensions) float32, each of length 1."""
    return _forward(module, inputs, "fp32", "cpu")


def probe_of(tower: Tower, resolution: int) -> torch.Tensor:
    """A few typical inputs of a tower, to compare number formats with."""
    if tower == "text":
        return tokenize(["", "猫", "2025年8月 发票 ￥128.50", "在海边看日落的一家人和两只狗" * 4])
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand((2, 3, 7, 7), generator=generator)
    smooth = nn.functional.interpolate(coarse, (resolution, resolution), mode="bicubic").clamp(0, 1)
    grained = (smooth + 0.1 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)
    page = (torch.rand((1, 1, resolution, resolution), generator=generator) > 0.1).expand(1, 3, -1, -1).float()
    return (torch.cat([smooth[:1], grained[1:], page]) - torch.from_numpy(pixels.MEAN)) / torch.from_numpy(pixels.STD)
