"""`GET /api/assets/{id}/thumbnail`: a photo's picture from Immich, which is asked with the client's key or session."""

from typing import Literal

from aiohttp import web
from pydantic import Field

from gateway.errors import NotFoundError, UnavailableError
from gateway.gate import Gate
from gateway.library import Library
from gateway.metrics import Metrics
from gateway.people.identity import as_gateway_error
from gateway.people.operation import Answer, Asked, Endpoint, Operation
from gateway.people.parameters import PhotoParameters
from gateway.people.pictures import IF_NONE_MATCH, TYPES, etag_of, pass_on
from indexer.immich.api import Immich, ImmichError
from indexer.views import photo as shown

_AT_ONCE = 64
_HEADERS = {
    # Small pictures are kept for a minute. Previews are checked each time, because boxes are drawn over them.
    "thumbnail": {"Cache-Control": "private, max-age=60"},
    "preview": {"Cache-Control": "private, no-cache"},
}


class ThumbnailParameters(PhotoParameters):
    """Which picture of which photo."""

    size: Literal["thumbnail", "preview"] = Field("thumbnail", description="The boxes of lines refer to `preview`.")


THUMBNAIL = Operation[ThumbnailParameters, None](
    "GET",
    "/api/assets/{id}/thumbnail",
    "getThumbnail",
    "A photo's picture, as Immich has it",
    ThumbnailParameters,
    {
        200: Answer(
            "The picture. For an edited photo: the edited one.",
            types=TYPES,
            headers={"ETag": f"For `{IF_NONE_MATCH}`, to ask later whether the picture has changed."},
        ),
        304: Answer(f"The picture is still the one named by `{IF_NONE_MATCH}`.", types=()),
    },
    headers={IF_NONE_MATCH: "The `ETag` of the picture that the client has."},
    permissions=("asset.view",),
    errors=(NotFoundError,),
    allow_head=False,
)


class Thumbnails:
    """Passes pictures on from Immich while they arrive.

    Args:
        immich: Immich's API. None: IMMICH_URL is not set.
        library: Immich's database.
        metrics: where to count.
        max_bytes: larger pictures are refused.
    """

    def __init__(self, immich: Immich | None, library: Library, metrics: Metrics, *, max_bytes: int) -> None:
        self.gate = Gate("thumbnails", _AT_ONCE)
        self._immich = immich
        self._library = library
        self._metrics = metrics
        self._max_bytes = max_bytes

    def endpoints(self) -> list[Endpoint[ThumbnailParameters, None]]:
        """To be added to the API."""
        return [Endpoint(THUMBNAIL, self._thumbnail)]

    async def _thumbnail(self, asked: Asked[ThumbnailParameters, None]) -> web.StreamResponse:
        request, person = asked.request, asked.person
        asset, size = asked.parameters.id, asked.parameters.size
        if self._immich is None:
            raise UnavailableError("IMMICH_URL is not set", 60)
        with self.gate(), self._metrics.timed("thumbnail"):
            # The same picture that the boxes of `/api/assets/{id}` refer to, whatever Immich's default is.
            edited = await self._library.need(lambda pool: shown.is_edited(pool, person.account.id, asset))
            if edited is None:
                raise NotFoundError("there is no such photo")
            try:
                async with self._immich.open(
                    f"api/assets/{asset}/thumbnail",
                    person.credential,
                    query={"size": size, "edited": "true" if edited else "false"},
                    etag=etag_of(request),
                ) as picture:
                    return await pass_on(request, picture, _HEADERS[size], self._max_bytes)
            except ImmichError as error:
                raise as_gateway_error(error, person.credential) from error
