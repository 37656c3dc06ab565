"""Whether a search finds exactly the photos that it should, by their text and by all else that Immich knows of them.

The truth is known by construction: every photo is kept here in plain Python, too, and a word is wanted where it is a
piece of a value. Names, places, albums, tags and descriptions follow Zipf's law. A second user's photos, with the same
words, must never be found. Then people edit photos, as Immich writes it, and the same is asked again.
"""

import argparse
import asyncio
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4

import asyncpg

from bench import library
from bench.queue import on_database
from bench.search import SETTINGS, drop_indexes, make_indexes
from indexer.database.pool import OwnConnection, Pool, open_pool
from indexer.demo.immich import NEWEST, VERSIONS, StandIn
from indexer.photos import facts
from indexer.queue.claims import Queue
from indexer.queue.retries import Policy
from indexer.search import words
from indexer.search.viewer import viewer
from indexer.text.normalise import normalise
from indexer.text.question import parse

NAME = "facts"
DESCRIPTION = "recall and precision over all that is known of a photo, before and after edits; times"

T = TypeVar("T")

_CHUNK = 2_000
_EXIF_TAGS = """UPDATE public.asset_exif x SET tags = known.tags FROM (
        SELECT "assetId", array_agg(value) AS tags FROM public.tag_asset JOIN public.tag ON tag.id = "tagId" GROUP BY 1
    ) AS known WHERE known."assetId" = x."assetId" """
_TAGS = 'SELECT tag.id, value FROM public.tag_asset JOIN public.tag ON tag.id = "tagId" WHERE "assetId" = $1'
_FIELDS = ("text", "description", "person", "tag", "album", "place", "file", "camera", "date")
_PREFIXED = 0.3  # of the words that are asked for in one field by its name
_POLICY = Policy(max_attempts=1, retry_seconds=0, lease_seconds=60)


@dataclass
class _Photo:
    """What is known of a photo. `people`, `tags` and `albums` are keys of the library's."""

    id: UUID
    owner: UUID
    taken: datetime
    text: str
    description: str
    place: tuple[str, str, str]
    camera: tuple[str, str]
    people: set[UUID] = field(default_factory=set)
    tags: set[UUID] = field(default_factory=set)
    albums: set[UUID] = field(default_factory=set)
    shown: bool = True

    @property
    def file(self) -> str:
        """As bench/library.py names it."""
        return f"img_{str(self.id)[:8]}.jpg"


@dataclass
class _Library:
    """All photos, and what people, tags and albums are called."""

    photos: dict[UUID, _Photo] = field(default_factory=dict)
    people: dict[UUID, str] = field(default_factory=dict)
    tags: dict[UUID, str] = field(default_factory=dict)
    albums: dict[UUID, str] = field(default_factory=dict)

    def values(self, photo: _Photo, of: str) -> list[str]:
        """The values of one field, in lower case and without what separates words."""
        several = {
            "text": [photo.text.replace("\n", "").replace(" ", "")],
            "description": [photo.description],
            "person": [self.people[person] for person in photo.people],
            "tag": [self.tags[tag] for tag in photo.tags],
            "album": [self.albums[album] for album in photo.albums],
            "place": list(photo.place),
            "file": [photo.file],
            "camera": list(photo.camera),
            "date": [f"{photo.taken.year}年{photo.taken.month}月{photo.taken.day}日"],
        }
        return [value.lower() for value in several[of]]


@dataclass(frozen=True)
class _Word:
    """What a person types for a part of a value. `of`: the field that it is asked for in. Empty: anywhere."""

    piece: str
    of: str

    @property
    def typed(self) -> str:
        """As it is typed."""
        return f"{self.of}:{self.piece}" if self.of else self.piece


def run(options: argparse.Namespace) -> dict[str, object]:
    """Returns `recall` and `precision` of 600 searches for one to three words, and the same after 1,000 edits.

    Both are shares of all photos that should be found, and of all that were. `missed` and `wrong` name some of the
    searches that were not right. `p95_ms` of the first 50 photos, by the number of words; `follow_s`, how long all that
    the edits changed took to be written.
    """
    count, edits, asked = (3_000, 200, 150) if options.quick else (options.assets or 100_000, 1_000, 600)
    version = os.environ.get("IMMICH_VERSION", NEWEST)
    with (
        on_database(options.url or os.environ.get("TEST_DATABASE_URL") or None, SETTINGS) as url,
        tempfile.TemporaryDirectory() as media,
    ):
        return asyncio.run(_measure(url, Path(media), version, count, edits, asked))


async def _measure(url: str, media: Path, version: str, count: int, edits: int, asked: int) -> dict[str, object]:
    chance = random.Random(7)
    own = await library.prepare(url, next(known for known in VERSIONS if known == version))
    pool = await open_pool(url, size=3)
    immich_connection = await asyncpg.connect(url)
    try:
        user, stranger = [await library.add_person(own, uuid4()) for _ in range(2)]
        made = await _write(own, media, chance, count, user, stranger)
        start = time.perf_counter()
        await _first_facts(pool)
        await own.execute("VACUUM ANALYZE immich_indexer.photo")
        filled = time.perf_counter() - start
        queries = [[_word(made, chance, photo, of) for of in fields] for photo, fields in _chosen(made, chance, asked)]
        before = await _ask(pool, made, queries, user)
        changed = await _edit(StandIn(immich_connection, media), made, chance, edits, user)
        start = time.perf_counter()
        await _follow(pool)
        followed = time.perf_counter() - start
        queries = [[_word(made, chance, photo, of) for of in fields] for photo, fields in _chosen(made, chance, asked)]
        queries += [[_word(made, chance, photo, of)] for photo, of in changed if photo.shown]
        after = await _ask(pool, made, queries, user)
        [sizes] = await own.fetch(
            "SELECT pg_relation_size('immich_indexer.photo_document') / 1000000 AS index_mb, version() AS server"
        )
    finally:
        pool.terminate()
        await own.close()
        await immich_connection.close()
    return {
        "immich": version,
        "photos": count,
        **before,
        **{f"{name}_after_edits": value for name, value in after.items()},
        "facts_s": round(filled, 1),
        "follow_s": round(followed, 1),
        **dict(sizes),
    }


async def _write(
    own: OwnConnection, media: Path, chance: random.Random, count: int, user: UUID, stranger: UUID
) -> _Library:
    made = _Library()
    names = _Names(chance)
    indexes = await drop_indexes(own)
    for start in range(0, count, _CHUNK):
        some = [
            _photo(names, chance, stranger if chance.random() < 0.2 else user)
            for _ in range(min(_CHUNK, count - start))
        ]
        rows = [library.Photo(photo.id, photo.owner, photo.taken, photo.text) for photo in some]
        await library.write(own, await asyncio.to_thread(library.rows, rows))
        await own.copy_records_to_table(
            "asset_exif",
            schema_name="public",
            columns=["assetId", "description", "city", "state", "country", "make", "model"],
            records=[(photo.id, photo.description, *photo.place, *photo.camera) for photo in some],
        )
        made.photos |= {photo.id: photo for photo in some}
    await make_indexes(own, indexes)
    immich = StandIn(own, media)
    for owner in (user, stranger):
        photos = [photo for photo in made.photos.values() if photo.owner == owner]
        for name, some in names.shares(names.people, chance, photos, 0.6):
            person = await immich.recognise(some[0].id)
            for photo in some[1:]:
                await immich.recognise(photo.id, person)
            await immich.name_person(owner, person, name)
            made.people[person] = name
            _each(some, lambda photo: photo.people, person)
        for name, some in names.shares(names.tags, chance, photos, 0.5):
            tag = await immich.tag(some[0].id, name)
            records = [(photo.id, tag) for photo in some[1:]]
            await own.copy_records_to_table(
                "tag_asset", schema_name="public", columns=["assetId", "tagId"], records=records
            )
            made.tags[tag] = name
            _each(some, lambda photo: photo.tags, tag)
        for name, some in names.shares(names.albums, chance, photos, 0.5):
            album = await immich.create_album(owner, name, [photo.id for photo in some])
            made.albums[album] = name
            _each(some, lambda photo: photo.albums, album)
    await own.execute(_EXIF_TAGS)
    await own.execute("ANALYZE")
    return made


def _each(photos: Sequence[_Photo], keys: Callable[[_Photo], set[UUID]], key: UUID) -> None:
    for photo in photos:
        keys(photo).add(key)


class _Names:
    """What photos, people, tags, albums and places are called: made up, and chosen by Zipf's law."""

    def __init__(self, chance: random.Random) -> None:
        self._characters = [sign for sign in map(chr, range(0x4E00, 0x9F00, 7)) if normalise(sign) == sign]
        self.words = [self._made(chance, 2) for _ in range(20_000)]
        self.latin = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(2_000)]
        self.people = [self._made(chance, chance.choice((2, 3, 3))) for _ in range(200)]
        self.albums = [self._made(chance, 4) for _ in range(500)]
        self.tags = [self._made(chance, 2) for _ in range(200)] + chance.sample(self.latin, 100)
        self.places = [
            (self._made(chance, 2), self._made(chance, 3), self._made(chance, 2))
            if chance.random() < 0.5
            else (chance.choice(self.latin), chance.choice(self.latin), chance.choice(self.latin))
            for _ in range(300)
        ]
        self.cameras = [(chance.choice(self.latin), chance.choice(self.latin)) for _ in range(40)]

    def _made(self, chance: random.Random, length: int) -> str:
        return "".join(chance.choices(self._characters, k=length))

    @staticmethod
    def choose(names: Sequence[T], chance: random.Random) -> T:
        """One of them, the first most often."""
        return chance.choices(names, cum_weights=_zipf(len(names)))[0]

    def shares(
        self, names: Sequence[str], chance: random.Random, photos: Sequence[_Photo], each: float
    ) -> Iterator[tuple[str, list[_Photo]]]:
        """Each name and its photos; `each`: how many of the names a photo has on average."""
        got: dict[str, dict[UUID, _Photo]] = {}
        for photo in chance.choices(photos, k=int(each * len(photos))):
            got.setdefault(self.choose(names, chance), {})[photo.id] = photo
        for name, some in got.items():
            yield name, list(some.values())


_ZIPF: dict[int, list[float]] = {}


def _zipf(count: int) -> list[float]:
    if count not in _ZIPF:
        _ZIPF[count] = list(accumulate(1 / (rank + 3) for rank in range(count)))
    return _ZIPF[count]


def _photo(names: _Names, chance: random.Random, owner: UUID) -> _Photo:
    text = [names.choose(names.words, chance) for _ in range(chance.randint(4, 30))]
    text += [f" {names.choose(names.latin, chance)} " for _ in range(chance.randint(0, 3))]
    chance.shuffle(text)
    lines = ["".join(text[at : at + 6]).strip() for at in range(0, len(text), 6)]
    description = "".join(names.choose(names.words, chance) for _ in range(chance.choice((0, 0, 3, 8))))
    taken = datetime.now(UTC).replace(microsecond=0) - timedelta(days=chance.randrange(4_000))
    place, camera = names.choose(names.places, chance), names.choose(names.cameras, chance)
    return _Photo(UUID(int=chance.getrandbits(128)), owner, taken, "\n".join(lines), description, place, camera)


def _chosen(made: _Library, chance: random.Random, count: int) -> Iterator[tuple[_Photo, list[str]]]:
    """Photos that are searched for, and the fields whose words are typed: one, two or three of those that it has."""
    photos = [photo for photo in made.photos.values() if photo.shown]
    for number in range(count):
        photo = chance.choice(photos)
        has = [of for of in _FIELDS if any(made.values(photo, of))]
        yield photo, chance.sample(has, min(1 + number % 3, len(has)))


def _word(made: _Library, chance: random.Random, photo: _Photo, of: str) -> _Word:
    value = chance.choice([value for value in made.values(photo, of) if value] or ["none"])
    named = of if of not in ("text", "date") and chance.random() < _PREFIXED else ""
    if of == "date":
        return _Word(chance.choice((value, value[: value.index("月") + 1])), "")
    if of == "file":
        return _Word(value[4:12], named)
    if value.isascii():
        return _Word(value, named)
    han = [at for at in range(len(value)) if not value[at].isascii()]
    start = chance.choice(han)
    piece = value[start : start + chance.randint(2, 4)]
    piece = "".join(character for character in piece if not character.isascii()) or value[start]
    return _Word(piece if piece in value else value[start], named)


async def _ask(pool: Pool, made: _Library, queries: Sequence[Sequence[_Word]], user: UUID) -> dict[str, object]:
    eyes = await viewer(pool, user)
    scope = eyes.scope()
    mine = [photo for photo in made.photos.values() if photo.shown and photo.owner == user]
    known = {of: [(photo.id, "\n".join(made.values(photo, of))) for photo in mine] for of in _FIELDS}
    known[""] = [(photo.id, "\n".join(known[of][at][1] for of in _FIELDS)) for at, photo in enumerate(mine)]
    should, got, right = 0, 0, 0
    missed: list[str] = []
    wrong: list[str] = []
    times: dict[int, list[float]] = {1: [], 2: [], 3: []}
    for query in queries:
        typed = " ".join(word.typed for word in query)
        wanted = set.intersection(*({photo for photo, text in known[word.of] if word.piece in text} for word in query))
        question = parse(typed)
        found = await words.candidates(pool, question, scope=scope, limit=len(wanted) + 500)
        ids = {candidate.asset_id for candidate in found if not candidate.forgiven}
        should, got, right = should + len(wanted), got + len(ids), right + len(wanted & ids)
        if wanted - ids:
            missed.append(typed)
        if ids - wanted:
            wrong.append(typed)
        start = time.perf_counter()
        await words.search(pool, typed, scope=scope)
        times[len(query)].append(1000 * (time.perf_counter() - start))
    return {
        "queries": len(queries),
        "recall": round(right / should, 5),
        "precision": round(right / max(got, 1), 5),
        "missed": missed[:5],
        "wrong": wrong[:5],
        "p95_ms": {count: round(sorted(some)[int(len(some) * 0.95)], 1) for count, some in times.items() if some},
    }


async def _first_facts(pool: Pool) -> None:
    """As the reconciler brings the facts of a library."""
    last: UUID | None = UUID(int=0)
    while last is not None:
        last, assets = await facts.stale(pool, last, 500, thorough=False)
        if assets:
            await pool.transact(partial(facts.refresh, assets=assets))


async def _follow(pool: Pool) -> None:
    """As an indexer follows what triggers have told."""
    queue = Queue(pool, uuid4(), _POLICY)
    while await queue.drain():
        pass
    while await pool.transact(partial(facts.follow, limit=100)):
        pass


async def _edit(
    immich: StandIn, made: _Library, chance: random.Random, count: int, user: UUID
) -> list[tuple[_Photo, str]]:
    """What people do with their photos. Returns which photos got what in which field."""
    edits = _Edits(immich, made, chance, user)
    changed: list[tuple[_Photo, str]] = []
    for _ in range(count):
        changed += await edits.one()
    return changed


class _Edits:
    def __init__(self, immich: StandIn, made: _Library, chance: random.Random, user: UUID) -> None:
        self._immich, self._made, self._chance, self._user = immich, made, chance, user
        self._names = _Names(random.Random(11))
        self._kinds = [
            *(self._describe, self._locate, self._date, self._tag, self._untag, self._rename_tag, self._add_to_album),
            *(self._remove_from_album, self._rename_album, self._delete_album, self._rename_person, self._merge_people),
            *(self._see_person, self._remove_face, self._trash, self._restore, self._lock, self._delete),
        ]

    async def one(self) -> list[tuple[_Photo, str]]:
        """Edits something."""
        return await self._chance.choice(self._kinds)()

    def _one(self, *, shown: bool = True, with_: str = "") -> _Photo:
        while True:
            photo = self._chance.choice(list(self._made.photos.values()))
            if photo.owner == self._user and photo.shown is shown and (not with_ or getattr(photo, with_)):
                return photo

    async def _look_at_tags(self, photo: _Photo) -> None:
        """Immich reads tags again from the metadata, which until 3.2 does not know of a tag's new name."""
        rows = await self._immich.database.fetch(_TAGS, photo.id)
        self._made.tags |= {row["id"]: row["value"] for row in rows}
        photo.tags = {row["id"] for row in rows}

    async def _describe(self) -> list[tuple[_Photo, str]]:
        photo = self._one()
        photo.description = "".join(self._chance.choices(self._names.words, k=5))
        await self._immich.describe(photo.id, photo.description)
        await self._look_at_tags(photo)
        return [(photo, "description")]

    async def _locate(self) -> list[tuple[_Photo, str]]:
        photo = self._one()
        city, state, country = self._chance.choice(self._names.places)
        photo.place = (city, state, country)
        await self._immich.locate(photo.id, city, state, country)
        await self._look_at_tags(photo)
        return [(photo, "place")]

    async def _date(self) -> list[tuple[_Photo, str]]:
        photo = self._one()
        photo.taken -= timedelta(days=self._chance.randint(1, 900))
        await self._immich.change_date(photo.id, photo.taken)
        await self._look_at_tags(photo)
        return [(photo, "date")]

    async def _tag(self) -> list[tuple[_Photo, str]]:
        photo = self._one()
        await self._immich.tag(photo.id, self._chance.choice(self._names.tags))
        await self._look_at_tags(photo)
        return [(photo, "tag")]

    async def _untag(self) -> list[tuple[_Photo, str]]:
        photo = self._one(with_="tags")
        await self._immich.untag(photo.id, photo.tags.pop())
        await self._look_at_tags(photo)
        return []

    async def _rename_tag(self) -> list[tuple[_Photo, str]]:
        photo = self._one(with_="tags")
        tag = next(iter(photo.tags))
        name = f"{self._chance.choice(self._names.words)}{len(self._made.tags)}"
        self._made.tags[tag] = name
        await self._immich.rename_tag(tag, name)
        return [(photo, "tag")]

    async def _add_to_album(self) -> list[tuple[_Photo, str]]:
        album = self._chance.choice([album for photo in [self._one(with_="albums")] for album in photo.albums])
        photo = self._one()
        if album in photo.albums:
            return []
        photo.albums.add(album)
        await self._immich.add_to_album(album, photo.id)
        return [(photo, "album")]

    async def _remove_from_album(self) -> list[tuple[_Photo, str]]:
        photo = self._one(with_="albums")
        await self._immich.remove_from_album(photo.albums.pop(), photo.id)
        return []

    async def _rename_album(self) -> list[tuple[_Photo, str]]:
        photo = self._one(with_="albums")
        album = next(iter(photo.albums))
        self._made.albums[album] = "".join(self._chance.choices(self._names.words, k=2))
        await self._immich.rename_album(album, self._made.albums[album])
        return [(photo, "album")]

    async def _delete_album(self) -> list[tuple[_Photo, str]]:
        album = next(iter(self._one(with_="albums").albums))
        for photo in self._made.photos.values():
            photo.albums.discard(album)
        await self._immich.delete_album(album)
        return []

    async def _rename_person(self) -> list[tuple[_Photo, str]]:
        photo = self._one(with_="people")
        person = next(iter(photo.people))
        self._made.people[person] = self._chance.choice(self._names.words)
        await self._immich.name_person(self._user, person, self._made.people[person])
        return [(photo, "person")]

    async def _merge_people(self) -> list[tuple[_Photo, str]]:
        person, into = [next(iter(self._one(with_="people").people)) for _ in range(2)]
        if person == into:
            return []
        for photo in self._made.photos.values():
            if person in photo.people:
                photo.people = photo.people - {person} | {into}
        await self._immich.merge_people(self._user, person, into)
        return []

    async def _see_person(self) -> list[tuple[_Photo, str]]:
        photo = self._one()
        person = await self._immich.recognise(photo.id)
        self._made.people[person] = self._chance.choice(self._names.people)
        await self._immich.name_person(self._user, person, self._made.people[person])
        photo.people.add(person)
        return [(photo, "person")]

    async def _remove_face(self) -> list[tuple[_Photo, str]]:
        photo = self._one(with_="people")
        await self._immich.remove_face(photo.id, photo.people.pop())
        return []

    async def _trash(self) -> list[tuple[_Photo, str]]:
        photo = self._one()
        photo.shown = False
        await self._immich.trash(photo.id)
        return []

    async def _restore(self) -> list[tuple[_Photo, str]]:
        if all(photo.shown for photo in self._made.photos.values()):
            return []
        photo = self._one(shown=False)
        photo.shown = True
        await self._immich.restore(photo.id)
        return [(photo, "file")]

    async def _lock(self) -> list[tuple[_Photo, str]]:
        photo = self._one()
        del self._made.photos[photo.id]
        await self._immich.lock(photo.id)
        return []

    async def _delete(self) -> list[tuple[_Photo, str]]:
        photo = self._one()
        del self._made.photos[photo.id]
        await self._immich.delete_for_good(photo.id)
        return []
