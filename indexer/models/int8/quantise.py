"""Makes a network of integers: NNCF quantises it after its training.

It sees typical inputs, and chooses the ranges of the numbers so that these fit (post-training quantisation, with
SmoothQuant for transformers: Xiao et al., arXiv 2211.10438). As of a transformer, only convolutions and products of
matrices become integers: the operations between them would cost more in conversions than they gain.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from indexer.errors import IndexerError, words_of
from indexer.models.clip.maker import Vector

CALIBRATING = 0.6
"""The part of the pictures for choosing the ranges. The others are for comparing."""

MOST_PIXELS = 64_000_000


class Int8Error(IndexerError):
    """The model cannot be made in int8 here. The text says why."""


def quantise(model: Any, calibrating: Sequence[Vector], path: Path, *, stem: int = 0) -> None:
    """Write a model in int8.

    Args:
        model: of OpenVINO's.
        calibrating: typical inputs.
        path: the file to write.
        stem: so many convolutions at the beginning stay in floats.

    Raises:
        Int8Error: NNCF is not installed.
    """
    try:
        import nncf
    except ImportError as error:
        raise Int8Error(f"{words_of(error)}: pip install 'immich-indexer[int8]'") from error
    import openvino

    path.parent.mkdir(parents=True, exist_ok=True)
    convolutions = [each for each in model.get_ordered_ops() if each.get_type_name() == "Convolution"]
    quantised = nncf.quantize(
        model,
        nncf.Dataset(calibrating, lambda one: one.astype(np.float32, copy=False)),
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(calibrating),
        ignored_scope=nncf.IgnoredScope(names=[each.get_friendly_name() for each in convolutions[:stem]]),
    )
    part = path.with_name(f"{path.stem}-{os.getpid()}.xml")
    openvino.save_model(quantised, part, compress_to_fp16=True)
    for suffix in (".bin", ".xml"):
        part.with_suffix(suffix).replace(path.with_suffix(suffix))
