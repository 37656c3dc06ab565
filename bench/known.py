"""A library in plain Python, together with all that Immich knows of its photos, and the same in a database.

Names, places, albums, tags and descriptions follow Zipf's law.
"""

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from bench import library
from indexer.database.pool import OwnConnection
from indexer.demo.immich import StandIn
from indexer.text.normalise import normalise

T = TypeVar("T")

FIELDS = ("text", "description", "person", "tag", "album", "place", "file", "camera", "date")
_CHUNK = 2_000
_EXIF_TAGS = """UPDATE public.asset_exif x SET tags = known.tags FROM (
        SELECT "assetId", array_agg(value) AS tags FROM public.tag_asset JOIN public.tag ON tag.id = "tagId" GROUP BY 1
    ) AS known WHERE known."assetId" = x."assetId" """


@dataclass
class Photo:
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
class Library:
    """All photos, and what people, tags and albums are called."""

    photos: dict[UUID, Photo] = field(default_factory=dict)
    people: dict[UUID, str] = field(default_factory=dict)
    tags: dict[UUID, str] = field(default_factory=dict)
    albums: dict[UUID, str] = field(default_factory=dict)

    def values(self, photo: Photo, of: str) -> list[str]:
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


class Names:
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
        self, names: Sequence[str], chance: random.Random, photos: Sequence[Photo], each: float
    ) -> Iterator[tuple[str, list[Photo]]]:
        """Each name and its photos; `each`: how many of the names a photo has on average."""
        got: dict[str, dict[UUID, Photo]] = {}
        for photo in chance.choices(photos, k=int(each * len(photos))):
            got.setdefault(self.choose(names, chance), {})[photo.id] = photo
        for name, some in got.items():
            yield name, list(some.values())


_ZIPF: dict[int, list[float]] = {}


def _zipf(count: int) -> list[float]:
    if count not in _ZIPF:
        _ZIPF[count] = list(accumulate(1 / (rank + 3) for rank in range(count)))
    return _ZIPF[count]


def _photo(names: Names, chance: random.Random, owner: UUID) -> Photo:
    text = [names.choose(names.words, chance) for _ in range(chance.randint(4, 30))]
    text += [f" {names.choose(names.latin, chance)} " for _ in range(chance.randint(0, 3))]
    chance.shuffle(text)
    lines = ["".join(text[at : at + 6]).strip() for at in range(0, len(text), 6)]
    description = "".join(names.choose(names.words, chance) for _ in range(chance.choice((0, 0, 3, 8))))
    taken = datetime.now(UTC).replace(microsecond=0) - timedelta(days=chance.randrange(4_000))
    place, camera = names.choose(names.places, chance), names.choose(names.cameras, chance)
    return Photo(UUID(int=chance.getrandbits(128)), owner, taken, "\n".join(lines), description, place, camera)


async def write(
    own: OwnConnection, media: Path, chance: random.Random, count: int, user: UUID, stranger: UUID
) -> Library:
    """Makes photos with text, a fifth of them a stranger's, and writes all that Immich knows of them."""
    made = Library()
    names = Names(chance)
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
    immich = StandIn(own, media)
    for owner in (user, stranger):
        photos = [photo for photo in made.photos.values() if photo.owner == owner]
        for name, some in names.shares(names.people, chance, photos, 0.6):
            person = await immich.recognise(some[0].id)
            await immich.recognise_in_all((photo.id for photo in some[1:]), person)
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


def _each(photos: Sequence[Photo], keys: Callable[[Photo], set[UUID]], key: UUID) -> None:
    for photo in photos:
        keys(photo).add(key)
