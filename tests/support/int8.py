"""Models in int8, as if they had been made and measured here."""

from collections.abc import Sequence
from pathlib import Path

import openvino

from indexer.models.clip.maker import HasGraph, Vector
from indexer.models.int8 import record
from indexer.models.int8.clip import PART, ClipRecord, described
from indexer.models.int8.ocr import PARTS, OcrRecord, networks
from indexer.models.int8.quantise import quantise
from indexer.models.ocr.names import OcrSettings, model_files


def keep_in_int8(tower: HasGraph, prepared: Sequence[Vector], root: Path) -> None:
    """Quantise that tower on these pictures, and keep it as good enough."""
    network = openvino.Core().read_model(str(tower.graph))
    quantise(network, [one[None] for one in prepared], record.network(tower.name, PART, root))
    digests = record.digests(tower.name, (PART,), root)
    kind = described(tower.preparation)
    record.write(ClipRecord(tower.name, 200, 0.4, digests, 0.999, 1, tower.dimensions, kind), root)


def keep_ocr(settings: OcrSettings, root: Path) -> OcrRecord:
    """Keep an engine's networks as good enough. They are in fp16: to quantise them takes a minute."""
    files = networks(settings.name, root)
    files.detector.parent.mkdir(parents=True)
    for source, file in zip(model_files(settings.engine)[::2], files, strict=True):
        openvino.save_model(openvino.Core().read_model(source), file, compress_to_fp16=True)
    kept = OcrRecord(settings.name, 200, 0.5, record.digests(settings.name, PARTS, root), 1000, 0.999)
    record.write(kept, root)
    return kept
