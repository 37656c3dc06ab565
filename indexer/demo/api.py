"""A stand-in for those parts of Immich's HTTP API that we use, over the stand-in's database."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
from aiohttp import web

from indexer.database.pool import Connection, Connections
from indexer.demo.media import MediaRoot, extension
from indexer.demo.statements import SQL, statements

_SEARCHES = statements(SQL / "searches.sql")
_GAP = 0.002  # seconds between two pieces of an answer


class Api:
    """Answers API keys and sessions as Immich does. All versions answer the same.

    Args:
        database: Immich's.
        media: its files. Without them it has no pictures to show.
    """

    def __init__(self, database: Connection | Connections, media: MediaRoot | None = None) -> None:
        self._database = database
        self._media = media

    def application(self) -> web.Application:
        """The application, to be served."""
        app = web.Application(middlewares=[_in_pieces])
        app.router.add_get("/api/server/ping", self._ping)
        app.router.add_get("/api/users/me", self._user)
        app.router.add_get("/api/api-keys/me", self._key)
        app.router.add_get("/api/assets/{id}/thumbnail", self._thumbnail)
        app.router.add_get("/api/people/{id}/thumbnail", self._face)
        return app

    async def _ping(self, _request: web.Request) -> web.Response:
        return web.json_response({"res": "pong"})

    async def _user(self, request: web.Request) -> web.Response:
        found = await self._database.fetchrow(_SEARCHES["user"], await self._permitted(request, "user.read"))
        assert found is not None  # noqa: S101 - its key or session was just found
        return web.json_response({name: _plain(value) for name, value in found.items()})

    async def _key(self, request: web.Request) -> web.Response:
        key, _ = await self._authenticate(request)
        if key is None:
            raise _error(web.HTTPForbidden, "Not authenticated with an API Key")
        return web.json_response({name: _plain(value) for name, value in key.items() if name != "user_id"})

    async def _thumbnail(self, request: web.Request) -> web.Response:
        user = await self._permitted(request, "asset.view")
        size, edited = request.query.get("size", "thumbnail"), request.query.get("edited") == "true"
        found = await self._database.fetchrow(
            _SEARCHES["thumbnail"], UUID(request.match_info["id"]), user, size, edited
        )
        if found is None:
            raise _error(web.HTTPBadRequest, "Not found or no asset.view access")
        return self._file(request, found["path"], "Asset media not found")

    async def _face(self, request: web.Request) -> web.Response:
        user = await self._permitted(request, "person.read")
        grouped = await self._database.fetchval(_SEARCHES["grouped"])
        found = await self._database.fetchrow(
            _SEARCHES["face_3_2" if grouped else "face"], UUID(request.match_info["id"]), user
        )
        if found is None:
            raise _error(web.HTTPBadRequest, "Not found or no person.read access")
        return self._file(request, found["path"], "Not Found")

    def _file(self, request: web.Request, path: str | None, missing: str) -> web.Response:
        if not path or self._media is None or not self._media.on_disk(path).is_file():
            raise _error(web.HTTPNotFound, missing)
        content = self._media.read(path)
        headers = {"ETag": f'W/"{hashlib.sha256(content).hexdigest()[:16]}"', "Cache-Control": "private, max-age=86400"}
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        return web.Response(body=content, content_type=f"image/{extension(content)}", headers=headers)

    async def _permitted(self, request: web.Request, permission: str) -> UUID:
        """The user of the request's key or session, if it has that permission."""
        key, session = await self._authenticate(request)
        if key is not None and not {"all", permission} & set(key["permissions"]):
            raise _error(web.HTTPForbidden, f"Missing required permission: {permission}")
        user: UUID = (key or session)["user_id"]
        return user

    async def _authenticate(self, request: web.Request) -> tuple[asyncpg.Record | None, Any]:
        """The key or the session of a request. Where there are both, Immich uses the session."""
        headers = request.headers
        kind, _, bearer = headers.get("Authorization", "").partition(" ")
        session = (
            headers.get("x-immich-user-token")
            or headers.get("x-immich-session-token")
            or request.query.get("sessionKey")
            or (bearer if kind.lower() == "bearer" else "")
            or request.cookies.get("immich_access_token")
        )
        key = headers.get("x-api-key") or request.query.get("apiKey")
        if session:
            found = await self._database.fetchrow(_SEARCHES["session"], _hash(session))
            if found is None:
                raise _error(web.HTTPUnauthorized, "Invalid user token")
            return None, found
        if key:
            found = await self._database.fetchrow(_SEARCHES["key"], _hash(key))
            if found is None:
                raise _error(web.HTTPUnauthorized, "Invalid API key")
            return found, None
        raise _error(web.HTTPUnauthorized, "Authentication required")


@web.middleware
async def _in_pieces(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Sends an answer in small pieces, as a proxy or the network may split it."""
    answer: web.StreamResponse
    try:
        answer = await handler(request)
    except web.HTTPException as error:
        answer = error
    if not isinstance(answer, web.Response) or not isinstance(answer.body, bytes) or len(answer.body) < 2:
        return answer
    parted = web.StreamResponse(status=answer.status, reason=answer.reason, headers=answer.headers)
    parted.content_length = len(answer.body)
    await parted.prepare(request)
    half = len(answer.body) // 2
    await parted.write(answer.body[:half])
    await asyncio.sleep(_GAP)
    await parted.write(answer.body[half:])
    await parted.write_eof()
    return parted


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _error(kind: type[web.HTTPError], message: str) -> web.HTTPError:
    return kind(text=json.dumps({"message": message}), content_type="application/json")


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | list) else str(value)
