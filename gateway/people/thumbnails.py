"""`GET /api/assets/{id}/thumbnail`: a photo's picture from Immich, which is asked with the client's key or session."""

import asyncio
import re
from typing import Literal

import aiohttp
from aiohttp import web
from pydantic import Field

from gateway.errors import NotFoundError, UnavailableError, UpstreamError
from gateway.gate import Gate
from gateway.library import Library
from gateway.metrics import Metrics
from gateway.people.identity import KEY_HEADER, SESSION_HEADERS, as_gateway_error
from gateway.people.operation import Answer, Asked, Endpoint, Operation
from gateway.people.parameters import PhotoParameters
from indexer.immich.api import Immich, ImmichError
from indexer.views import photo as shown

_TYPES = (
    "image/jpeg",
    "image/webp",
    "image/png",
    "image/avif",
    "image/gif",
)  # types in which a browser runs no scripts
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,200}"')
_IF_NONE_MATCH = "If-None-Match"
_AT_ONCE = 64
_SLOW = 30.0  # seconds that a client may take for one piece
_HEADERS = {
    # Small pictures are kept for a minute. Previews are checked each time, because boxes are drawn over them.
    "thumbnail": {"Cache-Control": "private, max-age=60"},
    "preview": {"Cache-Control": "private, no-cache"},
}
# A browser that keeps a picture for one person must not show it to another.
_VARY = ", ".join((KEY_HEADER, "Authorization", *SESSION_HEADERS, "Cookie"))


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
            types=_TYPES,
            headers={"ETag": f"For `{_IF_NONE_MATCH}`, to ask later whether the picture has changed."},
        ),
        304: Answer(f"The picture is still the one named by `{_IF_NONE_MATCH}`.", types=()),
    },
    headers={_IF_NONE_MATCH: "The `ETag` of the picture that the client has."},
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
                    etag=_etag(request.headers.get(_IF_NONE_MATCH)),
                ) as picture:
                    return await self._pass_on(request, picture, size)
            except ImmichError as error:
                raise as_gateway_error(error, person.credential) from error

    async def _pass_on(self, request: web.Request, picture: aiohttp.ClientResponse, size: str) -> web.StreamResponse:
        headers = _HEADERS[size] | {"Vary": _VARY}
        if etag := _etag(picture.headers.get("ETag")):
            headers["ETag"] = etag
        if picture.status == 304:
            return web.Response(status=304, headers=headers)
        if picture.content_type not in _TYPES:
            raise UpstreamError("Immich sent something that is not a picture")
        if (picture.content_length or 0) > self._max_bytes:
            raise UpstreamError(f"the picture has more than {self._max_bytes} bytes")
        response = web.StreamResponse(headers=headers | {"Content-Type": picture.content_type})
        if "Content-Encoding" not in picture.headers:
            response.content_length = picture.content_length
        await response.prepare(request)
        try:
            await self._copy(picture, response)
        except (aiohttp.ClientError, TimeoutError) as error:
            # A part was already sent, so no error can be sent. Aborting tells the client that the picture is not whole.
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionError("a picture broke off in the middle") from error
        return response

    async def _copy(self, picture: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
        copied = 0
        async for piece in picture.content.iter_any():
            copied += len(piece)
            if copied > self._max_bytes:
                raise aiohttp.ClientPayloadError(f"more than {self._max_bytes} bytes")
            async with asyncio.timeout(_SLOW):
                await response.write(piece)
        await response.write_eof()


def _etag(given: str | None) -> str | None:
    """`given`, if it is a single tag of the form that Immich uses. Otherwise None."""
    return given if given is not None and _ETAG.fullmatch(given) else None
