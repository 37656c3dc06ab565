"""Passes a picture on from Immich while it arrives."""

import asyncio
import re
from collections.abc import Mapping

import aiohttp
from aiohttp import web

from gateway.errors import UpstreamError
from gateway.people.identity import KEY_HEADER, SESSION_HEADERS

TYPES = ("image/jpeg", "image/webp", "image/png", "image/avif", "image/gif")  # types in which a browser runs no scripts
IF_NONE_MATCH = "If-None-Match"

_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,200}"')
_SLOW = 30.0  # seconds that a client may take for one piece
# A browser that keeps a picture for one person must not show it to another.
_VARY = ", ".join((KEY_HEADER, "Authorization", *SESSION_HEADERS, "Cookie"))


def etag_of(request: web.Request) -> str | None:
    """The single tag of the form that Immich uses, if the client has a picture already. Otherwise None."""
    return _etag(request.headers.get(IF_NONE_MATCH))


async def pass_on(
    request: web.Request, picture: aiohttp.ClientResponse, headers: Mapping[str, str], max_bytes: int
) -> web.StreamResponse:
    """Answer with Immich's picture.

    Args:
        request: the client's.
        picture: Immich's answer, status 200 or 304.
        headers: of the answer, beside those of the picture.
        max_bytes: larger pictures are refused.

    Raises:
        UpstreamError: it is no picture, or too large.
        ConnectionError: it broke off in the middle.
    """
    headers = {**headers, "Vary": _VARY}
    if etag := _etag(picture.headers.get("ETag")):
        headers["ETag"] = etag
    if picture.status == 304:
        return web.Response(status=304, headers=headers)
    if picture.content_type not in TYPES:
        raise UpstreamError("Immich sent something that is not a picture")
    if (picture.content_length or 0) > max_bytes:
        raise UpstreamError(f"the picture has more than {max_bytes} bytes")
    response = web.StreamResponse(headers=headers | {"Content-Type": picture.content_type})
    if "Content-Encoding" not in picture.headers:
        response.content_length = picture.content_length
    await response.prepare(request)
    try:
        await _copy(picture, response, max_bytes)
    except (aiohttp.ClientError, TimeoutError) as error:
        # A part was already sent, so no error can be sent. Aborting tells the client that the picture is not whole.
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionError("a picture broke off in the middle") from error
    return response


async def _copy(picture: aiohttp.ClientResponse, response: web.StreamResponse, max_bytes: int) -> None:
    copied = 0
    async for piece in picture.content.iter_any():
        copied += len(piece)
        if copied > max_bytes:
            raise aiohttp.ClientPayloadError(f"more than {max_bytes} bytes")
        async with asyncio.timeout(_SLOW):
            await response.write(piece)
    await response.write_eof()


def _etag(given: str | None) -> str | None:
    """`given`, if it is a single tag of the form that Immich uses. Otherwise None."""
    return given if given is not None and _ETAG.fullmatch(given) else None
