"""`GET /api/people/{id}/thumbnail`: a person's face from Immich, which is asked with the client's key or session."""

from typing import Annotated

from aiohttp import web
from pydantic import Field

from gateway.errors import NotFoundError, UnavailableError
from gateway.gate import Gate
from gateway.library import Library
from gateway.metrics import Metrics
from gateway.people.identity import as_gateway_error
from gateway.people.operation import Answer, Asked, Endpoint, Operation
from gateway.people.parameters import Id, MustBe, Parameters
from gateway.people.pictures import IF_NONE_MATCH, TYPES, etag_of, pass_on
from indexer.immich.api import Immich, ImmichError
from indexer.search import suggest

_AT_ONCE = 64
_HEADERS = {"Cache-Control": "private, max-age=60"}


class FaceParameters(Parameters):
    """Which person."""

    id: Annotated[
        Id, MustBe("the address must name a person by its id, as in /api/people/0d6c8f3e-...", named=False)
    ] = Field(description="The person's id in Immich.")


FACE = Operation[FaceParameters, None](
    "GET",
    "/api/people/{id}/thumbnail",
    "getFace",
    "A person's face, as Immich has it",
    FaceParameters,
    {
        200: Answer(
            "The picture.",
            types=TYPES,
            headers={"ETag": f"For `{IF_NONE_MATCH}`, to ask later whether the picture has changed."},
        ),
        304: Answer(f"The picture is still the one named by `{IF_NONE_MATCH}`.", types=()),
    },
    text="Of one's own people who have a name.",
    headers={IF_NONE_MATCH: "The `ETag` of the picture that the client has."},
    permissions=("person.read",),
    errors=(NotFoundError,),
    allow_head=False,
)


class Faces:
    """Passes faces on from Immich while they arrive.

    Args:
        immich: Immich's API. None: IMMICH_URL is not set.
        library: Immich's database.
        metrics: where to count.
        max_bytes: larger pictures are refused.
    """

    def __init__(self, immich: Immich | None, library: Library, metrics: Metrics, *, max_bytes: int) -> None:
        self.gate = Gate("faces", _AT_ONCE)
        self._immich = immich
        self._library = library
        self._metrics = metrics
        self._max_bytes = max_bytes

    def endpoints(self) -> list[Endpoint[FaceParameters, None]]:
        """To be added to the API."""
        return [Endpoint(FACE, self._face)]

    async def _face(self, asked: Asked[FaceParameters, None]) -> web.StreamResponse:
        request, person, wanted = asked.request, asked.person, asked.parameters.id
        if self._immich is None:
            raise UnavailableError("IMMICH_URL is not set", 60)
        with self.gate(), self._metrics.timed("face"):
            # A person whom Immich shares with them is not theirs, and has another name, or none.
            if not await self._library.need(lambda pool: suggest.has_person(pool, person.account.id, wanted)):
                raise NotFoundError("there is no such person")
            path = f"api/people/{wanted}/thumbnail"
            try:
                async with self._immich.open(path, person.credential, query={}, etag=etag_of(request)) as picture:
                    return await pass_on(request, picture, _HEADERS, self._max_bytes)
            except ImmichError as error:
                raise as_gateway_error(error, person.credential) from error
