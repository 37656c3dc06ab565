"""What a plain search finds in Immich's own search box, in a library whose photos have descriptions and places.

What is asked has nothing to do with what the model sees: each query gets a random vector. So only the words can bring
the right photo nearer.
"""

import random
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from bench.known import Names
from gateway.library import Library
from gateway.ml.words import Words
from indexer.database.pool import OwnConnection
from indexer.demo.immich import StandIn
from indexer.photos import facts
from indexer.photos.vectors import Vector, as_query
from indexer.settings import Settings
from indexer.text.tokens import canonical

_EACH = 3  # every third photo has a description
_LENGTHS = (6, 40)  # characters of a description
_WEIGHT = float(Settings.model_fields["lexical_weight"].default)
_FIRST = 10
_PAGE = 100
_CHUNK = 250


@dataclass(frozen=True)
class Told:
    """What is known of photos: the descriptions of some, and the city of each."""

    described: Mapping[UUID, str]
    cities: Mapping[UUID, str]


async def describe(connection: OwnConnection, photos: Sequence[UUID], texts: Sequence[str]) -> Told:
    """Give all photos a place and their facts, some a description of `texts`."""
    chance = random.Random(5)
    places = Names(chance).places
    described = {photo: text[: chance.randint(*_LENGTHS)] for photo, text in zip(photos[1::_EACH], texts, strict=False)}
    placed = {photo: Names.choose(places, chance) for photo in photos}
    await connection.copy_records_to_table(
        "asset_exif",
        schema_name="public",
        columns=["assetId", "description", "city", "state", "country"],
        records=[(photo, described.get(photo, ""), *placed[photo]) for photo in photos],
    )
    for start in range(0, len(photos), _CHUNK):
        async with connection.transaction():
            await facts.refresh(connection, photos[start : start + _CHUNK])
    return Told(described, {photo: city for photo, (city, _, _) in placed.items()})


async def measure(
    url: str,
    connection: OwnConnection,
    owner: UUID,
    width: int,
    texts: Sequence[tuple[str, Collection[UUID]]],
    written: Mapping[UUID, str],
    told: Told,
    vectors: Vector,
) -> dict[str, object]:
    """Search for words of `texts`, each with the photos that say them, and for what is `told`. Without an index.

    `written`: the texts of all photos that have one.

    `said_p_at_10`: how many of the first ten have the words, for words of texts. `described_in_10`: of searches for
    the words of a description, how many show that photo among the first ten; `pieces_in_10`: of those for two pieces of
    it. No more than ten photos have these in their descriptions or texts. `named_in_10`: the same for file names.
    `placed_p_at_10`: how many of the first ten were there, for cities. `others_kept`: how many of the hundred photos
    nearest by meaning are still among the first hundred.
    """
    chance = random.Random(6)
    immich = StandIn(connection, Path())
    forms = {photo: canonical(text) for photo, text in told.described.items()}
    said = {photo: canonical(text) for photo, text in written.items()}
    asked = Library(url)
    words = Words(asked, patience=10)
    kept: list[float] = []

    async def found(query: str, right: Collection[UUID], vector: Vector) -> list[UUID]:
        question = as_query(vector, width)
        plain = await immich.smart_search(question.tolist(), owner, version="3.1")
        nearer = await words.beside(query, width, vector, _WEIGHT)
        if nearer is not None:
            question += nearer
        first = await immich.smart_search(question.tolist(), owner, version="3.1")
        others = [photo for photo in plain if photo not in right][: _PAGE - _FIRST]
        kept.append(len({*others}.intersection(first)) / len(others))
        return first[:_FIRST]

    try:
        await words.learn(width, vectors.shape[1])
        precise: list[float] = []
        there: list[float] = []
        whole: list[bool] = []
        pieces: list[bool] = []
        named: list[bool] = []
        for (query, right), vector in zip(texts, vectors, strict=False):
            right = {*right, *_with(query, forms)}
            first = (await found(query, right, vector))[: len(right)]
            precise.append(len(right.intersection(first)) / len(first))
        for photo, vector in zip(chance.sample(sorted(forms), len(vectors)), vectors, strict=True):
            for query, hits in ((forms[photo], whole), (_pieces(forms[photo], chance), pieces)):
                right = _with(query, forms) | _with(query, said)
                if query and len(right) <= _FIRST:
                    hits.append(photo in await found(query, right, vector))
        cities = sorted({*told.cities.values()})
        for city, vector in zip(chance.sample(cities, len(vectors)), vectors, strict=True):
            right = {photo for photo, where in told.cities.items() if where == city}
            first = (await found(city, right, vector))[: len(right)]
            there.append(len(right.intersection(first)) / len(first))
        for photo, vector in zip(chance.sample(sorted(told.cities), len(vectors)), vectors, strict=True):
            name = str(photo)[:8]  # of its file, as bench/library.py writes it
            named.append(photo in await found(name, {photo}, vector))
    finally:
        words.close()
        await asked.close()
    return {
        "said_p_at_10": round(statistics.mean(precise), 3),
        "described_in_10": round(statistics.mean(whole), 3),
        "pieces_in_10": round(statistics.mean(pieces), 3),
        "named_in_10": round(statistics.mean(named), 3),
        "placed_p_at_10": round(statistics.mean(there), 3),
        "others_kept": round(statistics.mean(kept), 3),
        "searches": len(kept),
    }


def _with(query: str, forms: Mapping[UUID, str]) -> set[UUID]:
    return {photo for photo, form in forms.items() if all(piece in form for piece in query.split())}


def _pieces(form: str, chance: random.Random) -> str:
    """Two pieces of three characters, as two words."""
    runs = [run for run in form.split() if len(run) >= 3]
    if not runs:
        return ""
    chosen = [chance.choice(runs) for _ in range(2)]
    starts = [chance.randint(0, len(run) - 3) for run in chosen]
    return " ".join(run[start : start + 3] for run, start in zip(chosen, starts, strict=True))
