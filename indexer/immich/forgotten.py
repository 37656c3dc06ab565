"""Work that Immich does not repeat by itself: it looks for faces once, and for duplicates after its own CLIP job."""

from dataclasses import dataclass
from datetime import timedelta

from indexer.database.pool import Connection, Pool
from indexer.database.statements import queries

_PAGE = "Administration > Job Queues"


@dataclass(frozen=True)
class Forgotten:
    """Numbers of photos for which only Immich's own "missing" jobs help."""

    faces: int = 0
    duplicates: int = 0

    @property
    def advice(self) -> list[str]:
        """What to press in Immich, one sentence for each job. Empty where nothing is missing."""
        lines = []
        if self.faces:
            lines.append(
                f"Immich has not looked for faces in {_photos(self.faces)} and will not by itself: press "
                f"{_PAGE} > Face detection > Missing"
            )
        if self.duplicates:
            lines.append(
                f"Immich has not compared {_photos(self.duplicates)} with the others for duplicates and will not by "
                f"itself: press {_PAGE} > Duplicate Detection > Missing (does nothing while Smart Search is off)"
            )
        return lines


async def look(connection: Connection | Pool, *, older: timedelta = timedelta(minutes=10)) -> Forgotten:
    """What is missing now, of photos that have been ready for longer than `older`."""
    row = await connection.fetchrow(queries("forgotten")["forgotten"], older)
    return Forgotten(row["faces"], row["duplicates"]) if row else Forgotten()


def _photos(count: int) -> str:
    return "1 photo" if count == 1 else f"{count} photos"
