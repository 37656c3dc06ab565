"""Photos selected by what is known of them, not by their ids."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from indexer.database.pool import Connection, Pool
from indexer.database.statements import queries
from indexer.errors import RequestError

_SQL = queries("selection")


@dataclass(frozen=True)
class Selection:
    """All indexed photos that fulfil every one of these conditions.

    Args:
        album: its name or its id.
        after: taken at this time or later, in the local time of the photo. `before`: taken earlier than this.
        no_text: the photo was read and has no text.
        models: read with other models than these, of CLIP and of OCR. None for a task that is off.
        failed: the last attempt failed, whether the job was given up or not.
    """

    album: str | None = None
    after: datetime | None = None
    before: datetime | None = None
    no_text: bool = False
    models: tuple[str | None, str | None] | None = None
    failed: bool = False

    async def photos(self, connection: Connection | Pool) -> list[UUID]:
        """The ids of those photos, the newest first.

        Raises:
            RequestError: there is no such album, or several.
        """
        album = None if self.album is None else await _album(connection, self.album)
        rows = await connection.fetch(
            _SQL["chosen"],
            album,
            self.after,
            self.before,
            self.no_text,
            *(self.models or (None, None)),
            self.models is not None,
            self.failed,
        )
        return [row["id"] for row in rows]


async def _album(connection: Connection | Pool, wanted: str) -> UUID:
    found: list[UUID] = [row["id"] for row in await connection.fetch(_SQL["albums"], wanted)]
    if not found:
        raise RequestError(f"there is no album {wanted!r}")
    if len(found) > 1:
        ids = ", ".join(map(str, found))
        raise RequestError(f"{len(found)} albums are called {wanted!r}: name one by its id: {ids}")
    return found[0]
