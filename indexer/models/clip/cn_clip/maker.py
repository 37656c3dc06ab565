"""Chinese-CLIP as a kind of CLIP model: the five published ones by their names, others as a `.pt` with its `.json`."""

import logging
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.errors import words_of
from indexer.models.clip import names
from indexer.models.clip.cn_clip import shapes, weights
from indexer.models.clip.maker import Identity, ImageTower, Precision, TextTower, Tower
from indexer.models.engines.messages import Opened, lacks_memory
from indexer.models.files.published import ModelFiles, Source
from indexer.models.runtimes import openvino
from indexer.models.runtimes.device import choose_device

if TYPE_CHECKING:
    from indexer.models.clip.cn_clip.checkpoint import Checkpoint

log = logging.getLogger(__name__)

_BESIDE_WEIGHTS = 1 << 30  # bytes of GPU memory for CUDA and a batch of pictures
_LARGE = 64 << 20  # bytes: torch has loaded smaller weights before they are written anew for OpenVINO

# Parameters of each tower. They were counted, because importing torch here would take the memory that we want to save.
NUMBERS: dict[str, dict[Tower, int]] = {
    "RN50": {"image": 38_316_896, "text": 37_886_208},
    "ViT-B-16": {"image": 86_192_640, "text": 101_677_056},
    "ViT-L-14": {"image": 303_966_208, "text": 101_677_056},
    "ViT-L-14-336": {"image": 304_293_888, "text": 101_677_056},
    "ViT-H-14": {"image": 632_076_800, "text": 324_472_832},
}


@dataclass(frozen=True)
class CnClip:
    """A `Maker`."""

    def makes(self, model: str) -> bool:
        """Whether it is one of the five names, or the path of a `.pt`."""
        return model in weights.FILES or model.endswith(".pt")

    def files(self, model: str, root: Path, sources: Sequence[Source]) -> ModelFiles:
        """One published file, or two of a person's own."""
        if model.endswith(".pt"):
            path = Path(model)
            return ModelFiles("clip", path.stem, own=(path, path.with_suffix(".json")))
        return ModelFiles("clip", model, (weights.published(model, root, sources),))

    def name(self, model: str, root: Path) -> str | None:
        """Of a published model: other weights than the published are never loaded."""
        file = weights.FILES.get(model)
        return None if file is None else names.name_of("cn-clip", model, file.sha256, demo=False)

    def dimensions(self, model: str, root: Path) -> int | None:
        """From cn_clip's configuration, or from that beside a `.pt`."""
        return shapes.dimensions(model)

    def identify(self, model: str, root: Path) -> Identity:
        """By the file's SHA-256."""
        from indexer.models.clip.cn_clip.checkpoint import open_checkpoint

        checkpoint = open_checkpoint(model, root)
        return Identity(checkpoint.name, checkpoint.path, checkpoint.note)

    def memory(self, model: str, root: Path, tower: Tower) -> int:
        """Four bytes for each parameter. A model of your own has an unknown number of them."""
        return 4 * NUMBERS.get(model, {}).get(tower, 0)

    def open(self, tower: Tower, model: str, root: Path, *, device: str, precision: Precision, threads: int) -> Opened:
        """One half of the model: on a processor with OpenVINO where that is installed and equal, otherwise in torch."""
        from indexer.models.clip.cn_clip.checkpoint import open_checkpoint

        checkpoint = open_checkpoint(model, root)
        size = checkpoint.path.stat().st_size
        where, note = choose_device(device, size + _BESIDE_WEIGHTS)
        if (
            where == "cpu"
            and size >= _LARGE
            and (made := _on_openvino(model, checkpoint, root, tower, precision, threads))
        ):
            return Opened(made, where, note)
        from indexer.models.clip.cn_clip.on_torch import load_clip

        each = 1 if tower == "image" else threads  # each caller of the image tower keeps one busy
        clip = load_clip(model, device=where, download_root=root, precision=precision, threads=each, towers=(tower,))
        return Opened(clip, where, note)


def _on_openvino(
    model: str, checkpoint: "Checkpoint", root: Path, tower: Tower, precision: Precision, threads: int
) -> ImageTower | TextTower | None:
    """The tower. None where torch is to compute it."""
    if platform.machine() not in ("x86_64", "AMD64") or not openvino.is_installed():
        return None
    from indexer.models.clip.cn_clip.export import ExportError, exported
    from indexer.models.clip.cn_clip.on_openvino import PRECISIONS, OpenVinoImages, OpenVinoTexts, UnequalError

    if precision not in PRECISIONS:
        return None
    kind = OpenVinoImages if tower == "image" else OpenVinoTexts
    try:
        return kind(exported(model, checkpoint, root, tower, threads=threads), threads=threads, precision=precision)
    except (ExportError, UnequalError, RuntimeError) as error:
        if lacks_memory(error):
            raise
        log.warning("torch computes the %s tower of %s: %s", tower, model, words_of(error))
        return None
