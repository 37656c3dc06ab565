"""The albums of the stand-in for Immich."""

from collections.abc import Sequence
from uuid import UUID

from indexer.demo.statements import SQL, statements
from indexer.demo.writer import Writer, several

_ALBUMS = statements(SQL / "albums.sql")


class Albums(Writer):
    """What a person does with albums, each statement in a transaction of its own."""

    async def create_album(self, owner: UUID, name: str, assets: UUID | Sequence[UUID] = ()) -> UUID:
        """Makes an album, with photos in it. Returns it."""
        create = "create_3_1" if await self._is_at_least("3.1") else "create"
        async with self._transaction() as connection:
            album: UUID = await connection.fetchval(_ALBUMS[create], owner, name)
            await connection.execute(_ALBUMS["add"], album, several(assets))
        return album

    async def add_to_album(self, album: UUID, assets: UUID | Sequence[UUID]) -> None:
        """Adds photos."""
        await self.database.execute(_ALBUMS["add"], album, several(assets))
        await self.database.execute(_ALBUMS["touch"], album, several(assets)[0])

    async def remove_from_album(self, album: UUID, assets: UUID | Sequence[UUID]) -> None:
        """Removes photos."""
        await self.database.execute(_ALBUMS["remove"], album, several(assets))

    async def rename_album(self, album: UUID, name: str) -> None:
        """Renames an album."""
        await self.database.execute(_ALBUMS["rename"], album, name)

    async def share_album(self, album: UUID, user: UUID) -> None:
        """Lets another user see an album, and add photos."""
        await self.database.execute(_ALBUMS["share"], album, user)

    async def stop_sharing_album(self, album: UUID, user: UUID) -> None:
        """Ends that."""
        await self.database.execute(_ALBUMS["unshare"], album, user)

    async def delete_album(self, album: UUID) -> None:
        """Deletes an album. Its photos stay."""
        await self.database.execute(_ALBUMS["delete"], album)
