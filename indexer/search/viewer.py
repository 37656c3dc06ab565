"""For whom a search is: it finds what Immich's own search would show this user, and nothing else."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from indexer.database.pool import Connection, Pool
from indexer.database.statements import queries
from indexer.errors import IndexerError
from indexer.search.words import Scope

_SQL = queries("viewer")


@dataclass(frozen=True)
class Viewer:
    """A user who searches.

    `user` None is the administrator at the command line, who finds everybody's photos. `owners`: whose photos are
    searched. `archived`: whether the user's own archived photos are. A partner's never: Immich would not open them.
    """

    user: UUID | None = None
    owners: tuple[UUID, ...] | None = None
    archived: bool = True

    def scope(self, after: datetime | None = None, before: datetime | None = None) -> Scope:
        """The scope of a search in photos taken in that time. It may still contain partners' archived photos."""
        return Scope(self.owners, after, before, self.archived, self.user)


ADMINISTRATOR = Viewer()


async def viewer(connection: Connection | Pool, user: UUID) -> Viewer:
    """One of Immich's users as a viewer, at present."""
    row = await connection.fetchrow(_SQL["viewer"], user)
    assert row is not None  # noqa: S101 - a select without FROM always has a row
    return Viewer(user, (user, *row["partners"]), bool(row["archived"]))


async def find_user(connection: Connection | Pool, email: str) -> UUID:
    """The user with that e-mail address in Immich.

    Raises:
        IndexerError: there is no such user.
    """
    user: UUID | None = await connection.fetchval(_SQL["user"], email.strip())
    if user is None:
        raise IndexerError(f"Immich has no user {email}: see Administration > Users")
    return user
