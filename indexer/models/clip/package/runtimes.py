"""What computes a tower of a package on this machine: ONNX Runtime, or OpenVINO where it gives the same vectors faster.

That is measured once. The record of it is in the folder `openvino` below CLIP_DOWNLOAD_ROOT, so that from then on only
one of the two is loaded. Weights that a package keeps inside its ONNX file are written there as a file of OpenVINO's,
too: it is mapped into memory, where an ONNX file is read into it twice.
"""

import glob
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from indexer import allocator
from indexer.errors import ModelError, WeightsError, words_of
from indexer.models.clip.maker import EQUAL, Precision, Tower
from indexer.models.clip.package.layout import MODEL, Package
from indexer.models.clip.package.network import Input, Network, Rows
from indexer.models.engines.messages import lacks_memory
from indexer.models.files.json_object import read_object
from indexer.models.files.published import sha256_of
from indexer.models.runtimes import concurrency, onnx_weights, openvino, processor

log = logging.getLogger(__name__)

LARGE = 64 << 20
"""Bytes. To measure smaller towers takes longer than it saves: ONNX Runtime computes them."""

MOST_OF_TIME = 0.97
"""With more than this part of ONNX Runtime's time OpenVINO is not worth it."""

_FORMAT = 1  # raised when other records are written than before
_SAME = 0.99999  # least cosine in fp32
_TIMED = 3
_DIGITS = 12
_LIBRARIES = ("openvino", "onnxruntime")
_WRITTEN = (".bin", ".xml")

Probe = Callable[[Network], Rows]
"""From a network to a few typical rows for it. Raises WeightsError where it is no network for the tower."""


@dataclass(frozen=True)
class Record:
    """What was found of a tower here.

    Attributes:
        key: what it depends on: the package, the number format asked for, the processor, and OpenVINO.
        inputs: of the network.
        batch: as of `Network`.
        dimensions: the width of its vectors.
        refused: why OpenVINO does not compute it. Empty where it does.
        cosine: the least of OpenVINO's vectors and ONNX Runtime's.
        time: of a row, as a part of ONNX Runtime's.
        digest: SHA-256 of the weights that were written for OpenVINO. None where it reads the package's own.
    """

    key: list[str]
    inputs: dict[str, Input]
    batch: int | None
    dimensions: int
    refused: str = ""
    cosine: float | None = None
    time: float | None = None
    digest: str | None = None

    @property
    def sentence(self) -> str:
        """What computes it and why, for a person."""
        if self.refused:
            return f"by ONNX Runtime, because {self.refused}"
        return f"by OpenVINO, in {self.time:.0%} of ONNX Runtime's time (cosine {self.cosine:.6f})"


class Runtimes:
    """What can compute a tower: `open` takes the best. `name`: of the package. The rest as of `Maker.open`."""

    def __init__(
        self,
        package: Package,
        name: str,
        tower: Tower,
        *,
        device: str,
        precision: Precision,
        threads: int,
        root: Path,
    ) -> None:
        self._file = package.file(tower, MODEL)
        self._tower = tower
        self._device = device
        self._threads = threads
        self._place = place(name, package.label, tower, root)
        no_bf16 = openvino.why_not_bf16() if precision == "bf16" and device == "cpu" else ""
        if no_bf16:
            self._log_refused(no_bf16)
        self._format: openvino.Format = "bf16" if precision == "bf16" and not no_bf16 else "f32"
        self._is_measured = (
            device == "cpu" and openvino.is_installed() and (self._format == "bf16" or package.size(tower) >= LARGE)
        )
        self._key = [str(_FORMAT), name, tower, self._format, processor.described()]

    def open(self, probe: Probe) -> tuple[Network, int]:
        """The network, on what is best here, and the width of its vectors.

        Raises:
            WeightsError: it cannot be loaded, is not for this tower, or what it gives are no vectors.
        """
        if not self._is_measured:
            network = self._exact()
            return network, network.try_batch(probe(network))
        self._key.append(metadata.version("openvino"))
        record = self._read()
        if record is None:
            log.info("measuring what computes %s fastest here: once, some seconds", self._file)
            record = self._measure(probe)
            self._write(record)
        refused = record.refused
        if not refused:
            try:
                network, _ = self._on_openvino(record, probe)
            except (WeightsError, ModelError, RuntimeError) as error:
                if lacks_memory(error):
                    raise
                refused = words_of(error)
        if refused:
            if self._format == "bf16":
                self._log_refused(refused)
            network = self._exact()
            network.batch = record.batch
        log.info("%s is computed %s", self._file, replace(record, refused=refused).sentence)
        return network, record.dimensions

    def _exact(self) -> Network:
        from indexer.models.runtimes.onnx import open_session  # only a process that computes with it should have it

        try:
            session = open_session(
                self._file, device=self._device, threads=self._threads, few_shapes=self._tower == "text"
            )
        except Exception as error:
            if lacks_memory(error):
                raise
            raise WeightsError(f"{self._file} cannot be loaded: {words_of(error)}") from error
        # Copied, because ONNX Runtime's own objects would keep the session in memory.
        inputs = {node.name: Input(node.type, tuple(node.shape)) for node in session.get_inputs()}
        first = next(iter(inputs.values())).shape
        return Network(self._file, session, inputs, first[0] if first and isinstance(first[0], int) else None)

    def _on_openvino(self, record: Record, probe: Probe) -> tuple[Network, Any]:
        """The network, and its vectors of the probe: with the first run OpenVINO puts weights into another order."""
        graph = self._place.with_suffix(".xml") if record.digest else self._file
        weights = [graph.with_suffix(".bin")] if record.digest else onnx_weights.files_of(graph)[1:]
        calls, each = concurrency.of(self._threads) if self._tower == "image" else (1, self._threads)
        with allocator.releasing(_LIBRARIES, weights):
            session = openvino.OpenVinoSession(graph, callers=calls, threads=each, precision=self._format)
            allocator.return_freed()
            # In fp32 several at once save no time, and OpenVINO would store the weights again for another number.
            batch = record.batch or (1 if self._format == "f32" else None)
            network = Network(self._file, session, record.inputs, batch)
            return network, network(probe(network))

    def _measure(self, probe: Probe) -> Record:
        exact = self._exact()
        rows = probe(exact)
        width = exact.try_batch(rows)
        found = Record(self._key, exact.inputs, exact.batch, width)
        vectors, usual = exact(rows), _seconds(exact, rows)
        del exact  # never both in memory
        allocator.return_freed()
        trying = replace(found, digest=self._written())
        refused = ""
        try:
            network, others = self._on_openvino(trying, probe)
            cosine, part = float(np.sum(vectors * others, axis=1).min()), _seconds(network, rows) / usual
        except (WeightsError, ModelError, RuntimeError) as error:
            if lacks_memory(error):
                raise
            refused = words_of(error)
        else:
            if cosine < (EQUAL if self._format == "bf16" else _SAME):
                refused = f"its vectors would differ (cosine {cosine:.6f})"
            elif part > MOST_OF_TIME and self._format == "f32":
                refused = f"OpenVINO would take {part:.0%} of the time"
        if not refused:
            return replace(trying, cosine=cosine, time=part)
        self._discard(self._place)
        return replace(found, refused=refused)

    def _written(self) -> str | None:
        """Write weights from inside the ONNX file for OpenVINO. Returns their digest. None where that is not done."""
        if len(onnx_weights.files_of(self._file)) > 1:
            return None
        import openvino as library

        path = self._place.with_suffix(".xml")
        part = path.with_name(f".{path.stem}-{os.getpid()}.xml")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            library.save_model(library.Core().read_model(str(self._file)), part, compress_to_fp16=False)
            for suffix in _WRITTEN:
                part.with_suffix(suffix).replace(path.with_suffix(suffix))
            return sha256_of(path.with_suffix(".bin"))
        except (OSError, RuntimeError) as error:
            if lacks_memory(error):
                raise
            log.info("OpenVINO reads %s itself, with more memory: %s", self._file, words_of(error))
            return None
        finally:
            self._discard(part)

    @staticmethod
    def _discard(path: Path) -> None:
        for suffix in _WRITTEN:
            with suppress(OSError):
                path.with_suffix(suffix).unlink(missing_ok=True)

    def _read(self) -> Record | None:
        record = _stored(self._place)
        if record is None or record.key != self._key:
            return None
        with suppress(OSError):
            if record.digest is None or sha256_of(self._place.with_suffix(".bin")) == record.digest:
                return record
        return None

    def _write(self, record: Record) -> None:
        part = self._place.with_name(f".{self._place.stem}-{os.getpid()}.json")
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            for other in part.parent.glob(f"{glob.escape(self._place.stem[:-_DIGITS])}*"):
                if other.stem != self._place.stem:  # of an older package of that name
                    other.unlink()
            part.write_text(json.dumps(asdict(record), indent=2), encoding="utf-8")
            part.replace(self._place)
        except OSError as error:
            log.info("it will be measured again at the next start: %s", error)

    def _log_refused(self, why: str) -> None:
        log.warning("CLIP_PRECISION=bf16 is not for %s: %s", self._file, why)


def place(name: str, label: str, tower: Tower, root: Path) -> Path:
    """Where the record of a tower is. What was written of it is beside it, with other suffixes."""
    return root / "openvino" / f"{label}-{tower}-{hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]}.json"


def told(name: str, label: str, root: Path) -> str:
    """What `doctor` says of both towers, after a name. Nothing where nothing was measured."""
    parts: dict[Tower, str] = {"image": "pictures", "text": "questions"}
    stored = {what: _stored(place(name, label, tower, root)) for tower, what in parts.items()}
    said = [f"{what} are computed {record.sentence}" for what, record in stored.items() if record]
    return "".join(f"; {sentence}" for sentence in said)


def _stored(path: Path) -> Record | None:
    with suppress(Exception):  # whatever is wrong with the file: it is measured again
        stored = read_object(path, "")
        inputs = {name: Input(one["type"], tuple(one["shape"])) for name, one in stored.pop("inputs").items()}
        return Record(inputs=inputs, **stored)
    return None


def _seconds(network: Network, rows: Rows) -> float:
    """Seconds of the processors for one row, so that other work hardly counts."""
    one = {name: values[:1] for name, values in rows.items()}
    network(one)
    taken = []
    for _ in range(_TIMED):
        began = time.process_time()
        network(one)
        taken.append(time.process_time() - began)
    return min(taken)
