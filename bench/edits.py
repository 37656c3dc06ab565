"""What people do with their photos, as Immich writes it, and the same in the plain library of bench/known.py."""

import random
from datetime import timedelta
from uuid import UUID

from bench.known import Library, Names, Photo
from indexer.demo.immich import StandIn

_TAGS = 'SELECT tag.id, value FROM public.tag_asset JOIN public.tag ON tag.id = "tagId" WHERE "assetId" = $1'


async def edit(
    immich: StandIn, made: Library, chance: random.Random, count: int, user: UUID
) -> list[tuple[Photo, str]]:
    """What people do with their photos. Returns which photos got what in which field."""
    edits = _Edits(immich, made, chance, user)
    changed: list[tuple[Photo, str]] = []
    for _ in range(count):
        changed += await edits.one()
    return changed


class _Edits:
    def __init__(self, immich: StandIn, made: Library, chance: random.Random, user: UUID) -> None:
        self._immich, self._made, self._chance, self._user = immich, made, chance, user
        self._names = Names(random.Random(11))
        self._kinds = [
            *(self._describe, self._locate, self._date, self._tag, self._untag, self._rename_tag, self._add_to_album),
            *(self._remove_from_album, self._rename_album, self._delete_album, self._rename_person, self._merge_people),
            *(self._see_person, self._remove_face, self._trash, self._restore, self._lock, self._delete),
        ]

    async def one(self) -> list[tuple[Photo, str]]:
        """Edits something."""
        return await self._chance.choice(self._kinds)()

    def _one(self, *, shown: bool = True, with_: str = "") -> Photo:
        return self._chance.choice(
            [
                photo
                for photo in self._made.photos.values()
                if photo.owner == self._user and photo.shown is shown and (not with_ or getattr(photo, with_))
            ]
        )

    async def _look_at_tags(self, photo: Photo) -> None:
        """Immich reads tags again from the metadata, which until 3.2 does not know of a tag's new name."""
        rows = await self._immich.database.fetch(_TAGS, photo.id)
        self._made.tags |= {row["id"]: row["value"] for row in rows}
        photo.tags = {row["id"] for row in rows}

    async def _describe(self) -> list[tuple[Photo, str]]:
        photo = self._one()
        photo.description = "".join(self._chance.choices(self._names.words, k=5))
        await self._immich.describe(photo.id, photo.description)
        await self._look_at_tags(photo)
        return [(photo, "description")]

    async def _locate(self) -> list[tuple[Photo, str]]:
        photo = self._one()
        city, state, country = self._chance.choice(self._names.places)
        photo.place = (city, state, country)
        await self._immich.locate(photo.id, city, state, country)
        await self._look_at_tags(photo)
        return [(photo, "place")]

    async def _date(self) -> list[tuple[Photo, str]]:
        photo = self._one()
        photo.taken -= timedelta(days=self._chance.randint(1, 900))
        await self._immich.change_date(photo.id, photo.taken)
        await self._look_at_tags(photo)
        return [(photo, "date")]

    async def _tag(self) -> list[tuple[Photo, str]]:
        photo = self._one()
        await self._immich.tag(photo.id, self._chance.choice(self._names.tags))
        await self._look_at_tags(photo)
        return [(photo, "tag")]

    async def _untag(self) -> list[tuple[Photo, str]]:
        photo = self._one(with_="tags")
        await self._immich.untag(photo.id, photo.tags.pop())
        await self._look_at_tags(photo)
        return []

    async def _rename_tag(self) -> list[tuple[Photo, str]]:
        photo = self._one(with_="tags")
        tag = next(iter(photo.tags))
        name = f"{self._chance.choice(self._names.words)}{len(self._made.tags)}"
        self._made.tags[tag] = name
        await self._immich.rename_tag(tag, name)
        return [(photo, "tag")]

    async def _add_to_album(self) -> list[tuple[Photo, str]]:
        album = self._chance.choice([album for photo in [self._one(with_="albums")] for album in photo.albums])
        photo = self._one()
        if album in photo.albums:
            return []
        photo.albums.add(album)
        await self._immich.add_to_album(album, photo.id)
        return [(photo, "album")]

    async def _remove_from_album(self) -> list[tuple[Photo, str]]:
        photo = self._one(with_="albums")
        await self._immich.remove_from_album(photo.albums.pop(), photo.id)
        return []

    async def _rename_album(self) -> list[tuple[Photo, str]]:
        photo = self._one(with_="albums")
        album = next(iter(photo.albums))
        self._made.albums[album] = "".join(self._chance.choices(self._names.words, k=2))
        await self._immich.rename_album(album, self._made.albums[album])
        return [(photo, "album")]

    async def _delete_album(self) -> list[tuple[Photo, str]]:
        album = next(iter(self._one(with_="albums").albums))
        for photo in self._made.photos.values():
            photo.albums.discard(album)
        await self._immich.delete_album(album)
        return []

    async def _rename_person(self) -> list[tuple[Photo, str]]:
        photo = self._one(with_="people")
        person = next(iter(photo.people))
        self._made.people[person] = self._chance.choice(self._names.words)
        await self._immich.name_person(self._user, person, self._made.people[person])
        return [(photo, "person")]

    async def _merge_people(self) -> list[tuple[Photo, str]]:
        person, into = [next(iter(self._one(with_="people").people)) for _ in range(2)]
        if person == into:
            return []
        for photo in self._made.photos.values():
            if person in photo.people:
                photo.people = photo.people - {person} | {into}
        await self._immich.merge_people(self._user, person, into)
        return []

    async def _see_person(self) -> list[tuple[Photo, str]]:
        photo = self._one()
        person = await self._immich.recognise(photo.id)
        self._made.people[person] = self._chance.choice(self._names.people)
        await self._immich.name_person(self._user, person, self._made.people[person])
        photo.people.add(person)
        return [(photo, "person")]

    async def _remove_face(self) -> list[tuple[Photo, str]]:
        photo = self._one(with_="people")
        await self._immich.remove_face(photo.id, photo.people.pop())
        return []

    async def _trash(self) -> list[tuple[Photo, str]]:
        photo = self._one()
        photo.shown = False
        await self._immich.trash(photo.id)
        return []

    async def _restore(self) -> list[tuple[Photo, str]]:
        if all(photo.shown for photo in self._made.photos.values()):
            return []
        photo = self._one(shown=False)
        photo.shown = True
        await self._immich.restore(photo.id)
        return [(photo, "file")]

    async def _lock(self) -> list[tuple[Photo, str]]:
        photo = self._one()
        del self._made.photos[photo.id]
        await self._immich.lock(photo.id)
        return []

    async def _delete(self) -> list[tuple[Photo, str]]:
        photo = self._one()
        del self._made.photos[photo.id]
        await self._immich.delete_for_good(photo.id)
        return []
