"""A CLIP model in int8, as if it had been made and measured here."""

from collections.abc import Sequence
from pathlib import Path

import openvino

from indexer.models.clip.maker import HasGraph, Vector
from indexer.models.int8 import record
from indexer.models.int8.clip import PART, ClipRecord, described
from indexer.models.int8.quantise import quantise


def keep_in_int8(tower: HasGraph, prepared: Sequence[Vector], root: Path) -> None:
    """Quantise that tower on these pictures, and keep it as good enough."""
    network = openvino.Core().read_model(str(tower.graph))
    quantise(network, [one[None] for one in prepared], record.network(tower.name, PART, root))
    digests = record.digests(tower.name, (PART,), root)
    kind = described(tower.preparation)
    record.write(ClipRecord(tower.name, 200, 0.4, digests, 0.999, 1, tower.dimensions, kind), root)
