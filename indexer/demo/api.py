"""A stand-in for Immich's HTTP API: as much of it as we ask for, over the stand-in's database."""

import hashlib
import json
from typing import Any

import asyncpg
from aiohttp import web

from indexer.database import Connection, Pool
from indexer.demo.statements import SQL, statements

_SEARCHES = statements(SQL / "searches.sql")


class Api:
    """Answers as Immich does to whoever has an API key or a session; 2.7 and 3.1 do not differ in it."""

    def __init__(self, database: Connection | Pool) -> None:
        self._database = database

    def application(self) -> web.Application:
        """To be served."""
        app = web.Application()
        app.router.add_get("/api/users/me", self._user)
        app.router.add_get("/api/api-keys/me", self._key)
        return app

    async def _user(self, request: web.Request) -> web.Response:
        key, session = await self._authenticate(request)
        if key is not None and not {"all", "user.read"} & set(key["permissions"]):
            raise _error(web.HTTPForbidden, "Missing required permission: user.read")
        found = await self._database.fetchrow(_SEARCHES["user"], (key or session)["user_id"])
        assert found is not None  # noqa: S101 - its key or session was found just now
        return web.json_response({name: _plain(value) for name, value in found.items()})

    async def _key(self, request: web.Request) -> web.Response:
        key, _ = await self._authenticate(request)
        if key is None:
            raise _error(web.HTTPForbidden, "Not authenticated with an API Key")
        return web.json_response({name: _plain(value) for name, value in key.items() if name != "user_id"})

    async def _authenticate(self, request: web.Request) -> tuple[asyncpg.Record | None, Any]:
        """The key or the session; where there are both, Immich takes the session."""
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


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _error(kind: type[web.HTTPError], message: str) -> web.HTTPError:
    return kind(text=json.dumps({"message": message}), content_type="application/json")


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | list) else str(value)
