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
    given = request.match_info["id"]
    if not _UUID.fullmatch(given):
        raise ParameterError("the address must name a photo by its id, as in /api/assets/0d6c8f3e-...")
    return UUID(given)


async def body(request: web.Request, names: Collection[str]) -> dict[str, Any]:
    """The JSON object in the body, with none but these names; empty where there is no body.

    Raises:
        ParameterError: it is something else.
        TooLargeError: it has more than 4096 bytes.
        SlowClientError: it did not arrive in time.
    """
    arriving = request[BODY]
    while not arriving.complete and arriving.arrived <= _LONGEST_BODY:
        await arriving.more(arriving.arrived)
    if arriving.arrived > _LONGEST_BODY:
        raise TooLargeError(f"the body has more than {_LONGEST_BODY} bytes")
    try:
        content = json.loads(await arriving.whole() or b"{}")
    except (ValueError, RecursionError):
        raise ParameterError("the body is not JSON") from None
    if not isinstance(content, dict):
        raise ParameterError('the body is no JSON object, as in {"tasks": ["ocr"]}')
    for name in content:
        if name not in names:
            raise ParameterError(f"the body has no {name[:50]!r}: use {', '.join(names)}")
    return content
