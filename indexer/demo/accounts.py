"""The users of the stand-in for Immich, how they log in, and the people in its pictures."""

import base64
import hashlib
import re
import secrets
from collections.abc import Iterable
from uuid import UUID

from indexer.demo.statements import SQL, statements
from indexer.demo.writer import Writer

_PEOPLE = statements(SQL / "people.sql")


class Accounts(Writer):
    """Accounts, keys, partners; people in pictures."""

    async def create_user(self, name: str, *, admin: bool = False) -> UUID:
        """Creates a user."""
        user: UUID = await self._value("insert_user", f"{name}@example.org", name, admin)
        return user

    async def delete_user(self, user: UUID) -> None:
        """An administrator deletes an account: its photos stay for a week, and nobody sees them."""
        await self._write("delete_user", user)

    async def create_key(self, user: UUID, *permissions: str) -> str:
        """Creates an API key, with all permissions if none are named."""
        key = _secret()
        await self._write("insert_key", _hash(key), user, list(permissions or ("all",)))
        return key

    async def revoke_key(self, key: str) -> None:
        """Deletes an API key."""
        await self._write("delete_key", _hash(key))

    async def log_in(self, user: UUID) -> str:
        """Starts a session. Returns the token that a browser keeps in its cookie."""
        token = _secret()
        await self._write("insert_session", _hash(token), user)
        return token

    async def log_out(self, token: str) -> None:
        """Ends a session."""
        await self._write("delete_session", _hash(token))

    async def share(self, by: UUID, to: UUID, *, in_timeline: bool = True) -> None:
        """Makes `to` a partner of `by`. `in_timeline`: whether `to` shows these photos in their own timeline."""
        await self._write("insert_partner", by, to)
        await self._write("update_partner", by, to, in_timeline)

    async def stop_sharing(self, by: UUID, to: UUID) -> None:
        """Ends a partnership."""
        await self._write("delete_partner", by, to)

    async def recognise(self, asset: UUID, person: UUID | None = None) -> UUID:
        """Finds a face in a photo, of a known person or a new one. Returns the person, from 3.2 on the group."""
        grouped = await self._is_at_least("3.2")
        async with self._transaction() as connection:
            if person is None:
                person = await connection.fetchval(_PEOPLE["insert_group" if grouped else "insert_person"], asset)
            if grouped:
                await connection.execute(_PEOPLE["insert_persons"], person)
            await connection.execute(_PEOPLE["insert_face_3_2" if grouped else "insert_face"], asset, person)
        assert person is not None  # noqa: S101 - just made
        return person

    async def recognise_in_all(self, assets: Iterable[UUID], person: UUID) -> None:
        """Finds the face of a known person in all these photos."""
        statement = _PEOPLE["insert_face_3_2" if await self._is_at_least("3.2") else "insert_face"]
        async with self._transaction() as connection:
            await connection.executemany(statement, [(asset, person) for asset in assets])

    async def name_person(self, user: UUID, person: UUID, name: str) -> None:
        """Gives a person a name, for one user."""
        await self._person("name_person", user, person, name)

    async def show_face(self, user: UUID, person: UUID, picture: bytes) -> None:
        """Makes the picture of a person's face, of one user."""
        path = self.media.path(user, person, "person", "jpeg")
        self.media.write(path, picture)
        await self._person("show_face", user, person, path)

    async def hide_person(self, user: UUID, person: UUID, *, hidden: bool = True) -> None:
        """Hides a person, for one user, or shows the person again."""
        await self._person("hide_person", user, person, hidden)

    async def merge_people(self, user: UUID, person: UUID, into: UUID) -> None:
        """Gives the faces of a person to another one, and deletes the first."""
        await self._person("move_faces", person, into)
        await self._person("delete_person", user, person)

    async def delete_person(self, user: UUID, person: UUID) -> None:
        """Deletes a person, for one user."""
        await self._person("delete_person", user, person)

    async def remove_face(self, asset: UUID, person: UUID) -> None:
        """Removes the face of a person from a photo."""
        await self._person("remove_face", asset, person)

    async def _person(self, name: str, *arguments: object) -> None:
        grouped = await self._is_at_least("3.2")
        await self.database.execute(_PEOPLE[f"{name}_3_2" if grouped else name], *arguments)

    async def join_cluster(self, user: UUID, other: UUID) -> None:
        """From 3.2 on: two users share their people from now on."""
        await self.database.execute(_PEOPLE["join_cluster"], user, other)

    async def share_person(self, by: UUID, person: UUID, to: UUID) -> None:
        """From 3.3 on: lets another user see who a person is."""
        await self.database.execute(_PEOPLE["share_person"], by, person, to)


def _secret() -> str:
    """A secret as Immich makes it: 32 random bytes in base 64, without all that is no letter or digit."""
    return re.sub(r"\W", "", base64.b64encode(secrets.token_bytes(32)).decode())


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
