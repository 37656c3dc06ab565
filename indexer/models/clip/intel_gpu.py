"""CLIP's image tower on Intel's graphics, by OpenVINO: DEVICE=openvino:GPU.

It is used only where its vectors are nearly the processor's in fp32, and come faster than the processor's.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Self

import numpy as np

from indexer import allocator
from indexer.errors import ModelError, words_of
from indexer.models.clip.maker import EQUAL, ClipPrecision, HasGraph, ImageTower, Vector
from indexer.models.clip.unit import unit
from indexer.models.engines.messages import Opened
from indexer.models.pixels import Cropped, Preparation, Squeezed, noise
from indexer.models.runtimes import openvino
from indexer.models.runtimes.device import INTEL_GPU, choose_device
from indexer.models.runtimes.openvino import Format, Found

log = logging.getLogger(__name__)

_ROUNDS = 3


@dataclass(frozen=True)
class Source:
    """What has to be known of a tower to compute its network elsewhere.

    Attributes:
        name: as of `ImageTower`, like `dimensions` and `preparation`.
        graph: the file of the network.
        pictures: two to try, (2, 3, side, side) float32, prepared.
        vectors: what the tower makes of them.
    """

    name: str
    dimensions: int
    preparation: Squeezed | Cropped
    graph: Path
    pictures: Vector
    vectors: Vector

    @classmethod
    def of(cls, tower: ImageTower) -> Self | None:
        """None where OpenVINO cannot read its network, as torch's."""
        preparation = tower.preparation
        if not isinstance(tower, HasGraph) or not isinstance(preparation, Squeezed | Cropped):
            return None
        pictures = noise(preparation.side)
        vectors = tower.encode_images(list(pictures))
        return cls(tower.name, tower.dimensions, preparation, tower.graph, pictures, vectors)


class GraphicsImages:
    """An `ImageTower` that computes one picture a call: the shape never changes.

    `device`: as OpenVINO calls it. Raises RuntimeError: the network cannot be computed there.
    """

    def __init__(self, source: Source, *, precision: Format, device: str) -> None:
        import openvino as library

        self.name = source.name
        self.dimensions = source.dimensions
        self.preparation: Preparation = source.preparation
        core = library.Core()
        network = core.read_model(str(source.graph))
        network.reshape({network.inputs[0]: [1, *source.pictures.shape[1:]]})
        hints = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        self._request = core.compile_model(network, device, hints).create_infer_request()
        self._tensor = library.Tensor
        self._one = threading.Lock()

    def encode_images(self, prepared: Sequence[Vector]) -> Vector:
        """(n, dimensions) float32, each of length 1. Raises ModelError: a vector is not finite."""
        if not prepared:
            return np.empty((0, self.dimensions), dtype=np.float32)
        with self._one:
            rows = [self._run(np.ascontiguousarray(one[None])) for one in prepared]
        return unit(np.concatenate(rows).astype(np.float32, copy=False), self.name)

    def _run(self, row: Vector) -> Vector:
        self._request.set_input_tensor(self._tensor(row, shared_memory=True))
        # Not infer(), as in `OpenVinoSession`: where memory is short that returns the output of the run before.
        self._request.start_async()
        self._request.wait()
        return np.array(self._request.get_output_tensor(0).data)


def seconds_each(tower: ImageTower, picture: Vector, threads: int) -> float:
    """Seconds of a picture where `threads` ask at a time, as photos are read: the median of some rounds."""
    taken = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(1 + _ROUNDS):
            began = time.perf_counter()
            list(pool.map(tower.encode_images, [[picture]] * threads))
            taken.append((time.perf_counter() - began) / threads)
    return median(taken[1:])  # the first call takes longer


@dataclass(frozen=True)
class Graphics:
    """Intel's graphics of this machine. Tests have others.

    Attributes:
        device: as OpenVINO calls them.
        found: as of `choose_device`.
        seconds: as `seconds_each`.
    """

    device: str = "GPU"
    found: Found = openvino.devices
    seconds: Callable[[ImageTower, Vector, int], float] = seconds_each

    def opened(
        self,
        exact: Callable[[], ImageTower],
        usual: Callable[[], Opened],
        *,
        precision: ClipPrecision,
        threads: int,
    ) -> Opened:
        """The tower on these graphics if that is as good and faster. Otherwise as `usual`, with a note why.

        Of the towers that are compared one at a time is in memory.

        Args:
            exact: opens it on the processor, in fp32.
            usual: opens it on the processor, as it is used where there are no such graphics.
            precision: with `fp32` the graphics compute in that. Otherwise in fp16, if its vectors are nearly the same.
            threads: so many ask at a time.

        Raises:
            SettingsError: as `choose_device`.
        """
        choose_device(INTEL_GPU, found=self.found)
        source = Source.of(exact())
        if source is None:
            tower, trouble = None, "torch computes this model, not OpenVINO"
        else:
            tower, trouble = self._better(source, usual, precision, threads)
        if tower is not None:
            return Opened(tower, INTEL_GPU)
        allocator.return_freed()
        return replace(usual(), note=f"the processor computes CLIP's pictures, not Intel's graphics: {trouble}")

    def _better(
        self, source: Source, usual: Callable[[], Opened], precision: ClipPrecision, threads: int
    ) -> tuple[GraphicsImages | None, str]:
        """The tower on these graphics. None where the processor is to compute it, and why."""
        allocator.return_freed()
        picture = source.pictures[0]
        processors = self.seconds(usual().model, picture, threads)
        formats: tuple[Format, ...] = ("f32",) if precision == "fp32" else ("f16", "f32")
        trouble = ""
        for number in formats:
            allocator.return_freed()
            tower, trouble = self._alike(source, number)
            if tower is not None:
                part = self.seconds(tower, picture, threads) / processors
                if part >= 1:
                    return None, f"they would take {part:.0%} of the processor's time"
                log.info("Intel's graphics compute pictures in %.0f%% of the processor's time", 100 * part)
                return tower, ""
        return None, trouble

    def _alike(self, source: Source, number: Format) -> tuple[GraphicsImages | None, str]:
        """The tower in that number format. None where it would give other vectors or none, and why."""
        try:
            tower = GraphicsImages(source, precision=number, device=self.device)
            cosine = float(np.sum(tower.encode_images(list(source.pictures)) * source.vectors, axis=1).min())
        except (RuntimeError, ModelError) as error:
            return None, words_of(error).splitlines()[-1]
        return (tower, "") if cosine >= EQUAL else (None, f"their vectors would differ (cosine {cosine:.6f}, {number})")
