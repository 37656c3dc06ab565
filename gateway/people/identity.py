"""Finds out who is asking. They prove it with an API key or a session of Immich, and Immich itself is asked about it.

So everybody sees, and may do, what Immich shows and allows them.
"""

import asyncio
import re
from collections import OrderedDict
from dataclasses import dataclass

from aiohttp import web

from gateway.errors import (
    ForbiddenError,
    GatewayError,
    NotFoundError,
    UnauthorizedError,
    UnavailableError,
    UpstreamError,
)
from gateway.gate import Gate
from gateway.people.pace import USUAL, ApiPace
from indexer.immich.api import (
    Account,
    Credential,
    Immich,
    ImmichAwayError,
    ImmichError,
    ImmichMissingError,
    ImmichRefusalError,
)

KEY_HEADER = "x-api-key"
SESSION_HEADERS = ("x-immich-user-token", "x-immich-session-token")  # beside Authorization: Bearer
COOKIE = "immich_access_token"
USER_READ = "user.read"
"""The permission that every key needs: without it Immich does not say whose key it is."""

_SECRET = re.compile(r"[\x21-\x7e]{1,512}")
_MISSING = re.compile(r"Missing required permission: ([\w.]+)")
_REMEMBERED = 1000  # credentials


@dataclass(frozen=True)
class Person:
    """Somebody whom Immich knows. `permissions`: those of their key. None: a session, which may do everything."""

    account: Account
    permissions: frozenset[str] | None
    credential: Credential

    def may(self, permission: str) -> bool:
        """Whether Immich allows them that. Permissions are named as in Immich: `asset.read`."""
        return self.permissions is None or not self.permissions.isdisjoint(("all", permission))

    def need(self, permission: str) -> None:
        """Raise ForbiddenError unless Immich allows them that."""
        if not self.may(permission):
            raise _lacking(permission)


class Identity:
    """Finds out who is asking.

    Args:
        immich: Immich's API. None: IMMICH_URL is not set.
        pace: how long an answer of Immich's is kept.
        queue: how many checks may wait for Immich at once.
    """

    def __init__(self, immich: Immich | None, pace: ApiPace = USUAL, *, queue: int = 64) -> None:
        self.gate = Gate("identity checks", queue)
        self._immich = immich
        self._pace = pace
        self._known: OrderedDict[bytes, tuple[float, asyncio.Task[Person]]] = OrderedDict()

    async def __call__(self, request: web.Request) -> Person:
        """Who sent this request.

        Raises:
            UnauthorizedError: it has no valid key or session.
            ForbiddenError: a page of another site sent it, with a cookie; or its key lacks the permission `user.read`.
            UnavailableError: Immich cannot be asked.
            UpstreamError: the server at IMMICH_URL is not Immich.
        """
        credential = credential_of(request)
        if self._immich is None:
            raise UnavailableError("IMMICH_URL is not set: only Immich can tell who is asking", 60)
        return await self._person(self._immich, credential)

    async def _person(self, immich: Immich, credential: Credential) -> Person:
        """Ask Immich once for all requests with the same credential that come at the same time or soon after."""
        key, now = credential.digest, asyncio.get_running_loop().time()
        until, check = self._known.get(key, (0.0, None))
        if check is None or now > until:
            check = asyncio.create_task(self._check(immich, credential))
            check.add_done_callback(lambda task: self._forget_failure(key, task))
            self._known[key] = now + self._pace.known, check
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return await asyncio.shield(check)  # other requests may wait for it, too

    async def _check(self, immich: Immich, credential: Credential) -> Person:
        with self.gate():
            return await _ask(immich, credential)

    def _forget_failure(self, key: bytes, check: asyncio.Task[Person]) -> None:
        if (check.cancelled() or check.exception()) and self._known.get(key, (0, None))[1] is check:
            del self._known[key]


def credential_of(request: web.Request) -> Credential:
    """The key or session in a request.

    A header comes before the cookie, which a browser adds by itself. A key comes before a session, because it may be
    limited. Immich's `?apiKey=` is not accepted, because addresses are written to logs; nor are shared links.

    Raises:
        UnauthorizedError: there is none, or none of the form that Immich uses.
        ForbiddenError: there is only a cookie, and a page of another site had the browser send it.
    """
    headers = request.headers
    kind, _, token = headers.get("Authorization", "").partition(" ")
    given = [headers.get(name) for name in SESSION_HEADERS] + [token.strip() if kind.lower() == "bearer" else None]
    key, session = headers.get(KEY_HEADER), next(filter(None, given), None)
    if not key and not session and (session := request.cookies.get(COOKIE)) and _from_elsewhere(request):
        raise ForbiddenError("a page of another site may not use your session here")
    secret = key or session
    if not secret:
        raise UnauthorizedError("say who you are: with an Immich API key in the header x-api-key, or a session")
    if not _SECRET.fullmatch(secret):
        raise UnauthorizedError("this is no API key, and no session, of Immich's")
    agent = headers.get("User-Agent", "")
    return Credential(
        "x-api-key" if key else "x-immich-user-token", secret, agent if agent.isascii() and agent.isprintable() else ""
    )


def _from_elsewhere(request: web.Request) -> bool:
    """Whether a browser sent this for a page of another site.

    A page at another port of the same host counts as another site, even Immich's: it gets the same cookies.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("Origin")  # of browsers before 2023
    return origin is not None and origin.partition("://")[2] != request.headers.get("Host")


async def _ask(immich: Immich, credential: Credential) -> Person:
    try:
        if not credential.is_key:
            return Person(await immich.account(credential), None, credential)
        permissions = await immich.permissions(credential)
        return Person(await immich.account(credential), permissions, credential)
    except ImmichError as error:
        raise as_gateway_error(error, credential) from error


def as_gateway_error(error: ImmichError, credential: Credential) -> GatewayError:
    """The error to answer with, made of the error that Immich answered to somebody's key or session."""
    if isinstance(error, ImmichRefusalError):
        if error.status == 401:
            what = "API key" if credential.is_key else "session"
            return UnauthorizedError(f"Immich does not know this {what}: {error.reason}")
        missing = _MISSING.fullmatch(error.reason)
        return _lacking(missing[1]) if missing else ForbiddenError(str(error))
    if isinstance(error, ImmichMissingError):
        return NotFoundError(str(error))
    return UnavailableError(str(error), 5) if isinstance(error, ImmichAwayError) else UpstreamError(str(error))


def _lacking(permission: str) -> ForbiddenError:
    return ForbiddenError(
        f"this API key lacks the permission {permission}: in Immich, Account Settings > API Keys, give it that"
    )
