"""A network of OCR in torch, called as a session of ONNX Runtime is. On a GPU as CUDA graphs."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from indexer.models.runtimes.best import Best
from indexer.models.runtimes.fixed_shapes import Array, FixedShapes, Run, Shape
from indexer.models.runtimes.torch_graph import Graph

_WARM_UP = 3  # runs before a graph is captured: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs


class TorchSession:
    """One network of OCR. `run` may be called from any thread.

    Args:
        path: its ONNX file.
        device: `cpu` or `cuda`.
        half: compute in fp16. Faster on a GPU alone.
        shape: for `cuda`, as of `FixedShapes`.
        best: return the `Best` of the output, not the output.

    Raises:
        WeightsError: as of `Graph`.
    """

    def __init__(
        self, path: Path, *, device: str, half: bool, shape: Callable[[Shape], Shape], best: bool = False
    ) -> None:
        self._device = device
        self._dtype = torch.float16 if half else torch.float32
        self._graph = Graph(path).to(device=device, dtype=self._dtype).eval()
        self._best = best
        # On a processor there is nothing to plan.
        self._call: Run = FixedShapes(shape, self._captured, torch.cuda.empty_cache) if device == "cuda" else self._run

    def get_inputs(self) -> list[SimpleNamespace]:
        """Its input, with a name."""
        return [SimpleNamespace(name="input")]

    def get_outputs(self) -> list[SimpleNamespace]:
        """Its output, with a name."""
        return [SimpleNamespace(name="output")]

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Array]) -> list[Any]:
        """The output. `output_names` is not used: there is only one."""
        (values,) = input_feed.values()
        outputs = self._call(values)
        return [Best(outputs[0].astype(np.int64), outputs[1])] if self._best else [outputs[0]]

    def _run(self, values: Array) -> list[Array]:
        with torch.inference_mode():
            return self._brought(self._computed(torch.from_numpy(values).to(self._dtype)))

    def _computed(self, values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        output = self._graph(values)
        if not self._best:
            return (output,)
        largest, places = output.max(-1)
        return places, largest

    def _captured(self, shape: Shape) -> Run:
        """The network for inputs of one shape, as a CUDA graph: a run starts all of its kernels at once."""
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        with torch.inference_mode():
            source = torch.zeros(shape, dtype=self._dtype, device=self._device)
            source = source.contiguous(memory_format=torch.channels_last)
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UP):
                    self._computed(source)
            torch.cuda.current_stream().wait_stream(stream)
            with torch.cuda.graph(graph):
                outputs = self._computed(source)

        def run(values: Array) -> Sequence[Array]:
            with torch.inference_mode():
                source.copy_(torch.from_numpy(values))
                graph.replay()
                return self._brought(outputs)

        return run

    @staticmethod
    def _brought(outputs: Sequence[torch.Tensor]) -> list[Array]:
        return [output.float().cpu().numpy() for output in outputs]
