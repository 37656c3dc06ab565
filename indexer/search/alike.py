"""Finds photos like a photo: that show what it shows, or say what it says. Only photos that the user is shown count.

By words: photos that share pieces of the photo's text. A piece counts for more the fewer of the photos found have it
(the inverse document frequency of Spärck Jones, "A statistical interpretation of term specificity", 1972). Of very many
only the newest are looked at. If common pieces alone found so many, they are left out, and the others find more.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Literal
from uuid import UUID

from indexer.database.pool import Pool
from indexer.database.statements import queries
from indexer.photos.vectors import received
from indexer.search import hybrid, meaning
from indexer.search.fusion import Fused
from indexer.search.hybrid import Found
from indexer.search.viewer import Viewer
from indexer.text import buckets
from indexer.text.pieces import pieces_of
from indexer.text.query import all_of
from indexer.text.question import Clause, Question, Term

By = Literal["meaning", "words"]
Missing = Literal["vector", "reading", "text"]

MOST = 500  # photos that are found
BLOCK = 300  # photos looked at in a round
_PIECES = 32  # of a text
_ROUNDS = 3
_COMMON = 0.1  # a piece that more of the photos have says little of them
_LEAST = 0.1  # the share of the text, weighted, that a photo has to have
_SQL = queries("alike")


@dataclass(frozen=True)
class Alike:
    """Photos like a photo, the most similar first, and that one's file name.

    `more`: whether there are more. `missing`: what the photo lacks, so that there is nothing to compare with.
    """

    file_name: str
    items: list[Found]
    more: bool = False
    missing: Missing | None = None


async def alike(
    pool: Pool, photo: UUID, viewer: Viewer, by: By, *, limit: int = 50, offset: int = 0, block: int = BLOCK
) -> Alike | None:
    """A page of the photos like `photo`. None: the user is shown no such photo.

    `block`: by words, how many photos are looked at in a round.

    Raises:
        SchemaError: Immich is changing its vectors, or they are narrower than ours.
    """
    assert viewer.user is not None  # noqa: S101 - the command line does not ask
    row = await pool.fetchrow(_SQL["source"], photo, viewer.user, viewer.owners)
    if row is None:
        return None
    name = row["file_name"]
    question = Question(())
    if by == "meaning":
        if row["vector"] is None:
            return Alike(name, [], missing="vector")
        nears = await meaning.nearest(pool, received(row["vector"]), viewer, viewer.scope(), limit=MOST + 1)
        fused = {near.asset_id: Fused(near.similarity, None, 1.0) for near in nears if near.asset_id != photo}
    else:
        pieces = pieces_of((row["text"] or "").split("\n"), _PIECES)
        if not pieces:
            return Alike(name, [], missing="reading" if row["text"] is None else "text")
        scores = await sharing(pool, photo, viewer, pieces, block)
        fused = {asset: Fused(score, score, None) for asset, score in scores.items()}
        question = Question((Clause(tuple(Term(piece, piece, text=True) for piece in pieces)),))
    shown = await hybrid.shown(pool, viewer, fused)
    fused = {asset: each for asset, each in islice(fused.items(), MOST) if asset in shown}
    page = dict(islice(fused.items(), offset, offset + limit))
    return Alike(name, await hybrid.describe(pool, page, question, viewer), len(fused) > offset + limit)


async def sharing(
    pool: Pool, photo: UUID, viewer: Viewer, pieces: Sequence[str], block: int = BLOCK
) -> dict[UUID, float]:
    """The photos that share pieces, each with its share of all of them, 0 to 1, best first."""
    assert viewer.owners is not None  # noqa: S101 - as above
    found: dict[UUID, list[int]] = {}
    grams = [f"({all_of(piece)})" for piece in pieces]
    asked = set(range(1, len(pieces) + 1))
    for _ in range(_ROUNDS):
        query = f"({' | '.join(grams[number - 1] for number in sorted(asked))}) & {buckets.owned(viewer.owners)}"
        windows = [f"{query} & {window}" for window in buckets.windows(datetime.now(UTC), None, None)]
        rows = await pool.fetch(
            _SQL["sharing"], viewer.user, viewer.owners, viewer.archived, photo, windows, grams, block
        )
        found |= {row["asset_id"]: row["pieces"] for row in rows}
        often = Counter(number for row in rows for number in row["pieces"])
        common = {number for number in asked if often[number] > _COMMON * len(rows)}
        if len(rows) < block or not common or common == asked:
            break
        asked -= common
    return await asyncio.to_thread(_scored, found, len(pieces))


def _scored(found: Mapping[UUID, Sequence[int]], pieces: int) -> dict[UUID, float]:
    often = Counter(number for numbers in found.values() for number in numbers)
    weights = {number: math.log(1 + (len(found) + 1) / (often[number] + 1)) for number in range(1, pieces + 1)}
    whole = sum(weights.values())
    scores = {asset: sum(weights[number] for number in numbers) / whole for asset, numbers in found.items()}
    best = sorted(scores, key=lambda asset: (-scores[asset], asset))
    return {asset: scores[asset] for asset in best if scores[asset] >= _LEAST}
