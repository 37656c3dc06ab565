"""What is asked for in an address and in a small body: read strictly, and named when it is wrong."""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from aiohttp import web

from gateway.errors import ParameterError, TooLargeError
from gateway.guard import BODY

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_LONGEST_BODY = 4096  # bytes


def parameters(request: web.Request, names: Collection[str]) -> Mapping[str, str]:
    """The parameters of an address, each of `names` at most once.

    Raises:
        ParameterError: there are others, or one twice.
    """
    given = request.query
    for name in given:
        if name not in names:
            known = f"use {', '.join(names)}" if names else "there are none here"
            raise ParameterError(f"there is no parameter {name[:50]!r}: {known}")
        if len(given.getall(name)) > 1:
            raise ParameterError(f"{name} is given more than once")
    return given


def asset_of(request: web.Request) -> UUID:
    """The asset that the address names.

    Raises:
        ParameterError: it names none.
    """
    found = uuid_of(request.match_info["id"])
    if found is None:
        raise ParameterError("the address must name a photo by its id, as in /api/assets/0d6c8f3e-...")
    return found


def uuid_of(given: Any) -> UUID | None:
    """A UUID as Immich writes it; None of anything else."""
    return UUID(given) if isinstance(given, str) and _UUID.fullmatch(given) else None


async def body(request: web.Request, names: Collection[str]) -> dict[str, Any]:
    """The JSON object in the body, with none but these names; empty where there is no body. Raises as `content_of`."""
    content = await content_of(request, longest=_LONGEST_BODY)
    for name in content:
        if name not in names:
            raise ParameterError(f"the body has no {name[:50]!r}: use {', '.join(names)}")
    return content


async def content_of(request: web.Request, *, longest: int) -> dict[str, Any]:
    """The JSON object in the body; empty where there is no body.

    Raises:
        ParameterError: it is something else.
        TooLargeError: it has more than `longest` bytes.
        SlowClientError: it did not arrive in time.
    """
    arriving = request[BODY]
    while not arriving.complete and arriving.arrived <= longest:
        await arriving.more(arriving.arrived)
    if arriving.arrived > longest:
        raise TooLargeError(f"the body has more than {longest} bytes")
    try:
        content = json.loads(await arriving.whole() or b"{}")
    except (ValueError, RecursionError):
        raise ParameterError("the body is not JSON") from None
    if not isinstance(content, dict):
        raise ParameterError('the body is no JSON object, as in {"tasks": ["ocr"]}')
    return content
