"""`python -m indexer.models.clip.cn_clip.export MODEL ROOT TOWER`: writes a tower of Chinese-CLIP for OpenVINO.

torch does that once, in this process, which then ends. A process that computes with the tower has no torch in memory,
which takes 250 MB, and has read the file in a fraction of a second.
"""

import glob
import hashlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from indexer.errors import IndexerError, WeightsError, words_of
from indexer.models.clip.cn_clip.checkpoint import Checkpoint, open_checkpoint
from indexer.models.clip.maker import Tower, Vector

log = logging.getLogger(__name__)

_FORMAT = 1  # raised when this module writes other files than before
SECONDS = 600
"""For writing a tower at most. ViT-H takes a minute."""
_OUTPUT = "embedding"


class ExportError(IndexerError):
    """A tower could not be written."""


@dataclass(frozen=True)
class Exported:
    """A tower in a file of OpenVINO's, `path`, with its weights beside it, and what else is known of it.

    Attributes:
        probe: a few typical inputs of the tower.
        exact: their vectors as torch computes them in fp32, each of length 1.
    """

    path: Path
    name: str
    dimensions: int
    resolution: int
    probe: npt.NDArray[np.float32 | np.int32]
    exact: Vector

    @property
    def weights(self) -> Path:
        """The file of the weights."""
        return self.path.with_suffix(".bin")


def exported(model: str, checkpoint: Checkpoint, root: Path, tower: Tower, *, threads: int) -> Exported:
    """A tower of `model` as a file in the folder `openvino` beside the weights. It is written if it is not there.

    Raises:
        ExportError: it could not be written.
    """
    if (found := _read(checkpoint, tower)) is None:
        log.info("writing the %s tower of %s for OpenVINO: once, some seconds", tower, checkpoint.label)
        _write_apart(model, root, tower, threads)
        if (found := _read(checkpoint, tower)) is None:
            raise ExportError(f"what was written to {_path(checkpoint, tower)} cannot be read")
    return found


def _path(checkpoint: Checkpoint, tower: Tower) -> Path:
    """The file with what is known of the tower. It is written last: where it is, the others are."""
    return checkpoint.path.parent / "openvino" / f"{checkpoint.label}-{tower}-{checkpoint.sha256[:12]}.npz"


def _read(checkpoint: Checkpoint, tower: Tower) -> Exported | None:
    path = _path(checkpoint, tower)
    with suppress(OSError, ValueError, KeyError, BadZipFile, EOFError):
        with np.load(path) as stored:
            if int(stored["format"]) != _FORMAT:
                return None
            found = Exported(
                path.with_suffix(".xml"),
                str(stored["name"]),
                int(stored["dimensions"]),
                int(stored["resolution"]),
                stored["probe"],
                stored["exact"],
            )
            digests = stored["digests"].tolist()
        if digests == _digests(found.path):
            return found
    return None


def _digests(path: Path) -> list[str]:
    """The SHA-256 of the file of a network, and of that of its weights."""
    found = []
    for part in (path, path.with_suffix(".bin")):
        with part.open("rb") as file:
            found.append(hashlib.file_digest(file, "sha256").hexdigest())
    return found


def _write_apart(model: str, root: Path, tower: Tower, threads: int) -> None:
    command = [sys.executable, "-P", "-m", __name__, model, str(root), tower]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, env=environment
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ExportError(f"it was not written for OpenVINO: {error}") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"]
        raise ExportError(f"it was not written for OpenVINO: {said[-1]}")


def write(model: str, root: Path, tower: Tower) -> Path:
    """Write a tower, in this process. Returns the file that is written last. Matrices are fp16, as cn_clip rounds them.

    Raises:
        WeightsError: the checkpoint cannot be used.
        OSError: the folder cannot be written to.
    """
    import openvino
    import torch

    from indexer.models.clip.cn_clip.on_torch import probe_of, vectors_of
    from indexer.models.clip.cn_clip.towers import load_tower, widen

    checkpoint = open_checkpoint(model, root)
    path = _path(checkpoint, tower)
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / f".{path.stem}").touch()  # before the work: whether it may be written to
    (path.parent / f".{path.stem}").unlink()
    module = load_tower(tower, checkpoint, "cpu")
    widen(module.parameters())
    resolution = checkpoint.config["image_resolution"]
    probe = probe_of(tower, resolution)
    exact = vectors_of(module, probe)
    example = probe[:2] if tower == "image" else probe[:2].to(torch.int32)
    with torch.inference_mode():
        network = openvino.convert_model(module, example_input=(example,))
    network.outputs[0].get_tensor().set_names({_OUTPUT})
    if tower == "image":
        network.reshape([-1, 3, resolution, resolution])
    part = path.with_name(f".{path.stem}-{os.getpid()}.xml")
    openvino.save_model(network, part, compress_to_fp16=True)
    _forget_others(checkpoint, tower, path)
    for suffix in (".bin", ".xml"):
        part.with_suffix(suffix).replace(path.with_suffix(suffix))
    values = {"name": checkpoint.name, "dimensions": checkpoint.config["embed_dim"], "resolution": resolution}
    inputs = probe.numpy() if tower == "image" else probe.numpy().astype(np.int32)
    part = part.with_suffix(".npz")
    np.savez(part, format=_FORMAT, digests=_digests(path.with_suffix(".xml")), probe=inputs, exact=exact, **values)
    part.replace(path)
    return path


def _forget_others(checkpoint: Checkpoint, tower: Tower, path: Path) -> None:
    """Delete what was written of other weights of the same name, and what a process that was killed left."""
    name = glob.escape(f"{checkpoint.label}-{tower}")
    for other in path.parent.glob(f"{name}-*.*"):
        if other.stem != path.stem:
            other.unlink(missing_ok=True)
    for part in path.parent.glob(f".{name}-*"):
        if time.time() - part.stat().st_mtime > SECONDS:
            part.unlink(missing_ok=True)


def main(arguments: Sequence[str]) -> int:
    """The command. Returns its exit status."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a model's process ignores it, and those that it starts inherit that
    model, root, tower = arguments
    try:
        write(model, Path(root), "image" if tower == "image" else "text")
    except (WeightsError, OSError) as error:
        print(words_of(error), file=sys.stderr)  # noqa: T201 - for whoever started us
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
