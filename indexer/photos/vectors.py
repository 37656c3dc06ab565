"""The one form in which vectors go into Immich's column, and in which Immich's questions are answered.

A column may be wider than the CLIP model. Its dimensions then are, in this order: the model's, the words of the photo
(`lexical`), and one more that makes every vector 1 + SHARE times as long (squared) as its first part. So a
question with zeros behind the first part ranks photos just as the model alone would.
"""

import hashlib
import math
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pgvector

from indexer.photos import lexical

Vector = npt.NDArray[np.float32]

# The squared length of what stands behind the model's part. Two photos of one scene with different texts are so much
# further apart, and Immich calls a distance of 0.01 a duplicate; the precision of `ocr:` does not depend on it.
SHARE = 1e-5


def halved(vector: Vector) -> Vector:
    """`vector` rounded to half precision, as our own table keeps it; float32 again."""
    return vector.astype(np.float16).astype(np.float32)


def room(width: int, dimensions: int) -> int:
    """How many dimensions a column of `width` has for words, beside a model of `dimensions`."""
    return max(width - dimensions - 1, 0)


def as_column(vector: Vector, width: int, text: str = "") -> Vector:
    """What a column of `width` dimensions holds of a photo with that `vector` and that visible text.

    Raises:
        ValueError: the vector is wider than the column.
    """
    column = as_query(vector, width)
    words = room(width, len(vector))
    if words:
        # Rounded once and in a fixed order, for the gateway and every indexer have to write the very same numbers.
        head = column[: len(vector)].astype(np.float64)
        length = math.sqrt(SHARE * math.fsum(head * head))
        lexis = lexical.part(text, words)
        column[len(vector) : -1] = length * lexis.astype(np.float64)
        column[-1] = 0 if lexis.any() else length
    return column


def as_query(vector: Vector, width: int) -> Vector:
    """`vector` as a question that asks for nothing else: in half precision, filled up with zeros.

    Raises:
        ValueError: the vector is wider than the column.
    """
    if len(vector) > width:
        raise ValueError(f"a vector of {len(vector)} dimensions does not fit into {width}")
    column = np.zeros(width, dtype=np.float32)
    column[: len(vector)] = halved(vector) + 0.0  # no negative zeros, which PostgreSQL takes for equal and MD5 does not
    return column


def scales(width: int, dimensions: int) -> Vector:
    """What to multiply the dimensions of a column by, so that the model's part and the rest are of one length."""
    scale = np.full(width, 1 / math.sqrt(SHARE), dtype=np.float32)
    scale[:dimensions] = 1
    return scale


def fingerprint(column: Vector) -> UUID:
    """MD5 of what pgvector's vector_send gives of `column`, to tell whether it is what Immich's column holds."""
    return UUID(bytes=hashlib.md5(pgvector.Vector(column).to_binary(), usedforsecurity=False).digest())


def received(data: bytes) -> Vector:
    """What pgvector's vector_send or halfvec_send gave, as float32; as text it would take a hundred times as long.

    Raises:
        ValueError: it is neither.
    """
    dimensions = int.from_bytes(data[:2], "big")
    half = len(data) == 4 + 2 * dimensions
    vector = pgvector.HalfVector.from_binary(data) if half else pgvector.Vector.from_binary(data)
    return vector.to_numpy().astype(np.float32)
