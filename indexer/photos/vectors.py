"""The format of vectors in Immich's column, and of the vectors that the gateway returns for queries.

A column may be wider than the CLIP model. Then its dimensions are, in this order: those of the model, those of the
photo's words (`lexical`), and one that fills every vector up to the same length: 1 + SHARE times the squared length of
the model's part. It is 0 where the photo has text. So a query with zeros after the model's part ranks photos exactly as
the model alone would.
"""

import hashlib
import math
from collections.abc import Sequence
from functools import cache
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pgvector

from indexer.photos import lexical

Vector = npt.NDArray[np.float32]

# The squared length of what follows the model's part. It moves two photos of one scene with different texts apart by so
# much, and Immich calls photos within 0.01 duplicates. The precision of `ocr:` does not depend on it.
SHARE = 1e-5
_ROUNDING = 1e-3  # a part whose squared length is so near to 1 has length 1


def halved(vector: Vector) -> Vector:
    """`vector` rounded to half precision, as our own table stores it, as float32."""
    return vector.astype(np.float16).astype(np.float32)


def room(width: int, dimensions: int) -> int:
    """How many dimensions a column of `width` has for words, beside a model of `dimensions`."""
    return max(width - dimensions - 1, 0)


def as_column(vector: Vector, width: int, text: str = "", facts: Sequence[str] = ()) -> Vector:
    """The vector for a column of `width` dimensions, of a photo with that `vector`, that visible text and `facts`.

    `facts`: those that may be in it, as the SQL term `public_facts` has them: the description first.

    Raises:
        ValueError: the vector is wider than the column.
    """
    column = as_query(vector, width)
    words = room(width, len(vector))
    if words:
        # Rounded once and in a fixed order: the gateway and every indexer have to compute exactly the same numbers.
        head = column[: len(vector)].astype(np.float64)
        length = math.sqrt(SHARE * math.fsum(head * head))
        lexis = lexical.part(text, words, facts).astype(np.float64)
        column[len(vector) : -1] = length * lexis
        rest = 1 - math.fsum(lexis * lexis)
        column[-1] = length * math.sqrt(rest) if rest > _ROUNDING else 0
    return column


def as_query(vector: Vector, width: int) -> Vector:
    """The query vector that searches by `vector` alone: in half precision, filled up with zeros.

    Raises:
        ValueError: the vector is wider than the column.
    """
    if len(vector) > width:
        raise ValueError(f"a vector of {len(vector)} dimensions does not fit into {width}")
    column = np.zeros(width, dtype=np.float32)
    column[: len(vector)] = halved(vector) + 0.0  # no negative zeros: equal for PostgreSQL, but not for MD5
    return column


def scales(width: int, dimensions: int) -> Vector:
    """Factors for the dimensions of a column that give the model's part and the rest the same length."""
    scale = np.full(width, 1 / math.sqrt(SHARE), dtype=np.float32)
    scale[:dimensions] = 1
    return scale


def fingerprint(column: Vector) -> UUID:
    """MD5 of pgvector's vector_send of `column`, to compare it with what Immich's column contains."""
    return UUID(bytes=hashlib.md5(pgvector.Vector(column).to_binary(), usedforsecurity=False).digest())


def literal(column: Vector) -> str:
    """A vector's numbers as pgvector reads them: each is read as exactly the same float32.

    Most numbers of a column are in half precision. Their texts are looked up, which is ten times as fast.
    """
    with np.errstate(over="ignore"):
        halves = column.astype(np.float16)
    texts: list[str] = _texts()[halves.view(np.uint16)].tolist()
    others = np.flatnonzero(halves != column)
    for place, number in zip(others.tolist(), column[others].tolist(), strict=True):
        texts[place] = f"{number:.9g}"
    return f"[{','.join(texts)}]"


@cache
def _texts() -> npt.NDArray[np.object_]:
    """The texts of all numbers in half precision, by their bits."""
    numbers = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    return np.array([f"{number:.9g}" for number in numbers.tolist()], dtype=object)


def received(data: bytes) -> Vector:
    """The vector in a result of pgvector's vector_send or halfvec_send, as float32. Text would be 100 times slower.

    Raises:
        ValueError: it is neither format.
    """
    dimensions = int.from_bytes(data[:2], "big")
    half = len(data) == 4 + 2 * dimensions
    vector = pgvector.HalfVector.from_binary(data) if half else pgvector.Vector.from_binary(data)
    return vector.to_numpy().astype(np.float32)
