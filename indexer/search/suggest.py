"""Suggests what a person may be typing: their people, tags and albums, places, and words in their photos.

People, tags, albums and words are those of the user's own photos. Places are also those of partners' photos that the
user is shown. What no such photo has is not suggested, so other users' photos change nothing.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, NamedTuple
from uuid import UUID

from indexer.database.pool import Pool
from indexer.database.statements import queries
from indexer.search.viewer import Viewer
from indexer.text import buckets, pinyin
from indexer.text.completion import complete
from indexer.text.fields import ALBUM, PERSON, PLACE, TAG
from indexer.text.normalise import HAN
from indexer.text.query import all_of
from indexer.text.tokens import canonical
from indexer.text.unfinished import Unfinished, unfinished

Kind = Literal["person", "place", "album", "tag", "word"]

_NAMED: dict[Kind, str] = {"person": PERSON.name, "place": PLACE.name, "album": ALBUM.name, "tag": TAG.name}
_PLACES = 500  # the newest photos whose places are looked at
_TEXTS = 100  # the newest photos whose texts are looked at
_SPARE = 3  # names are checked for photos: so many for each that is wanted
_CHINESE = re.compile(f"[{HAN}]+")
_SQL = queries("suggest")


@dataclass(frozen=True)
class Suggestion:
    """What may be meant. `person`: the id of a person in Immich's API."""

    kind: Kind
    value: str
    person: UUID | None = None


@dataclass(frozen=True)
class Suggestions:
    """What may be meant by the last word of a text. `before`: the text before it, without its field."""

    before: str
    items: list[Suggestion]


class _Name(NamedTuple):
    kind: Kind
    id: UUID
    name: str


async def suggest(pool: Pool, text: str, viewer: Viewer, *, limit: int) -> Suggestions:
    """Suggestions for the last word of `text` to a user: at most `limit` of each kind, the best first.

    After a field's name only its values are suggested, also without a word.
    """
    assert viewer.user is not None  # noqa: S101 - only users type
    last = unfinished(text)
    if last is None or not (last.form or last.fields):
        return Suggestions(text, [])
    kinds = _kinds(last)
    names, places, words = await asyncio.gather(  # each is a question of its own
        _names(pool, last.form, viewer, kinds, limit),
        _places(pool, last.form, viewer, limit) if "place" in kinds else _nothing(),
        _words(pool, last.form, viewer, limit) if not last.fields else _nothing(),
    )
    people = [item for item in names if item.kind == "person"]
    return Suggestions(last.before, [*people, *places, *names[len(people) :], *words])


async def has_person(pool: Pool, user: UUID, person: UUID) -> bool:
    """Whether a user has a named person of that id."""
    return bool(await pool.fetchval(_SQL["person"], user, person))


def _kinds(last: Unfinished) -> list[Kind]:
    if last.fields is None:
        return list(_NAMED)
    names = {field.name for field in last.fields}
    return [kind for kind, name in _NAMED.items() if name in names]


async def _nothing() -> list[Suggestion]:
    return []


async def _names(pool: Pool, form: str, viewer: Viewer, kinds: Sequence[Kind], limit: int) -> list[Suggestion]:
    """People, albums and tags, in this order."""
    wanted = [kind for kind in kinds if kind != "place"]
    if not wanted:
        return []
    rows = [_Name(*row) for row in await pool.fetch(_SQL["names"], viewer.user)]
    best = await asyncio.to_thread(_best, form, rows, wanted, limit * _SPARE)  # there may be very many
    ids = [name.id for name in best]
    used = await pool.fetch(_SQL["used"], viewer.user, [name.kind for name in best], ids, viewer.archived)
    there = {(row["kind"], row["id"]) for row in used}
    values: dict[tuple[Kind, str], Suggestion] = {}
    for name in best:  # two people of the same name are found by the same search
        if (name.kind, name.id) in there:
            person = name.id if name.kind == "person" else None
            values.setdefault((name.kind, name.name), Suggestion(name.kind, name.name, person))
    return [item for kind in wanted for item in [each for each in values.values() if each.kind == kind][:limit]]


async def _places(pool: Pool, form: str, viewer: Viewer, limit: int) -> list[Suggestion]:
    grams = all_of(form, f" {PLACE.group}") if form else ""
    found = await _ranked_places(pool, form, viewer, grams)
    if not found and form.isascii():  # as pinyin: the index knows no unfinished syllables
        found = await _ranked_places(pool, form, viewer, "")
    return [Suggestion("place", place) for place in found[:limit]]


async def _ranked_places(pool: Pool, form: str, viewer: Viewer, grams: str) -> list[str]:
    assert viewer.owners is not None  # noqa: S101 - as above
    rows = await pool.fetch(
        _SQL["places"], viewer.user, viewer.owners, viewer.archived, _newest(grams, viewer.owners), _PLACES
    )
    photos = {row["place"]: row["photos"] for row in rows}
    ranks = {place: rank for place in photos if (rank := _rank(form, place)) is not None}
    return sorted(ranks, key=lambda place: (ranks[place], -photos[place], place))


async def _words(pool: Pool, form: str, viewer: Viewer, limit: int) -> list[Suggestion]:
    assert viewer.user is not None  # noqa: S101 - as above
    if not form:
        return []
    windows = _newest(all_of(form), [viewer.user])
    rows = await pool.fetch(_SQL["texts"], viewer.user, viewer.archived, windows, _TEXTS)
    words = await asyncio.to_thread(complete, form, [row["text"] for row in rows])
    return [Suggestion("word", word) for word in words[:limit]]


def _newest(grams: str, owners: Iterable[UUID]) -> list[str]:
    """The tsqueries of the photos with these n-grams of these owners, the newest first."""
    found = " & ".join(filter(None, (grams, buckets.owned(owners))))
    return [f"{found} & {window}" for window in buckets.windows(datetime.now(UTC), None, None)]


def _best(form: str, names: Sequence[_Name], kinds: Sequence[Kind], count: int) -> list[_Name]:
    """Of each kind the `count` names that are most likely meant."""
    ranks = [(rank, name) for name in names if (rank := _rank(form, name.name)) is not None]
    ranks.sort(key=lambda each: (each[0], len(each[1].name), each[1].name, each[1].id))
    left = Counter(dict.fromkeys(kinds, count))
    best = []
    for _, name in ranks:
        if left[name.kind] > 0:
            left[name.kind] -= 1
            best.append(name)
    return best


def _rank(form: str, value: str) -> int | None:
    """How good a match is: the beginning of the value (0), of a word in it (1), anything else (2), its pinyin (3).

    None: no match.
    """
    known = _canonical(value)
    at = known.find(form)
    if at < 0:
        return 3 if form.isascii() and any(pinyin.begins(form, piece) for piece in _chinese(known)) else None
    if at == 0:
        return 0
    if re.search(rf"\b{re.escape(form)}", known):
        return 1
    return None if re.fullmatch("[a-z]", form) else 2


@lru_cache(maxsize=16_384)
def _canonical(value: str) -> str:
    return canonical(value)


@lru_cache(maxsize=16_384)
def _chinese(known: str) -> tuple[str, ...]:
    """What a value is from each run of Chinese on."""
    return tuple(known[match.start() :] for match in _CHINESE.finditer(known))
