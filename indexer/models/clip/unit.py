"""Vectors of length 1."""

import numpy as np

from indexer.errors import ModelError
from indexer.models.clip.maker import Vector


def unit(vectors: Vector, whose: str) -> Vector:
    """(n, dimensions) float32, each divided by its length. Raises ModelError: one is not finite, or has no length."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise ModelError(f"{whose} computed a vector that is not finite, or has no length")
    divided: Vector = vectors / lengths
    return divided
