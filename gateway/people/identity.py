"""Who is asking: proven to us as to Immich, with one of its API keys or sessions, and checked with Immich itself.

What one is shown, and may do, is what Immich shows and allows them.
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
"""The permission that every key needs, or it may not say whose it is."""

_SECRET = re.compile(r"[\x21-\x7e]{1,512}")
_MISSING = re.compile(r"Missing required permission: ([\w.]+)")
_REMEMBERED = 1000  # credentials


@dataclass(frozen=True)
class Person:
    """Somebody whom Immich knows. `permissions` are those of their key; None, for a session, is everything."""

    account: Account
    permissions: frozenset[str] | None
    credential: Credential

    def may(self, permission: str) -> bool:
        """Whether Immich allows them that, named as in Immich: `asset.read`."""
        return self.permissions is None or not self.permissions.isdisjoint(("all", permission))

    def need(self, permission: str) -> None:
        """Raises ForbiddenError unless they may."""
        if not self.may(permission):
            raise _lacking(permission)


class Identity:
    """Tells who is asking.

    Args:
        immich: to ask; None where IMMICH_URL is not set.
        pace: how long an answer of Immich's is good for.
        queue: checks that may wait for Immich at once.
    """

    def __init__(self, immich: Immich | None, pace: ApiPace = USUAL, *, queue: int = 64) -> None:
        self.gate = Gate("identity checks", queue)
        self._immich = immich
        self._pace = pace
        self._known: OrderedDict[bytes, tuple[float, asyncio.Task[Person]]] = OrderedDict()

    async def __call__(self, request: web.Request) -> Person:
        """Whose request this is.

        Raises:
            UnauthorizedError: nobody's.
            ForbiddenError: it comes with a cookie from another site's page, or with a key that may not say whose it is.
            UnavailableError: Immich cannot be asked.
            UpstreamError: what answers at IMMICH_URL is no Immich.
        """
        credential = credential_of(request)
        if self._immich is None:
            raise UnavailableError("IMMICH_URL is not set: without Immich nobody can be told from anybody", 60)
        return await self._person(self._immich, credential)

    async def _person(self, immich: Immich, credential: Credential) -> Person:
        """One question to Immich for all who come with the same credential at the same time, and soon after."""
        key, now = credential.digest, asyncio.get_running_loop().time()
        until, check = self._known.get(key, (0.0, None))
        if check is None or now > until:
            check = asyncio.create_task(self._check(immich, credential))
            check.add_done_callback(lambda task: self._forget_failure(key, task))
            self._known[key] = now + self._pace.known, check
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return await asyncio.shield(check)  # others may be waiting for it, too

    async def _check(self, immich: Immich, credential: Credential) -> Person:
        with self.gate():
            return await _ask(immich, credential)

    def _forget_failure(self, key: bytes, check: asyncio.Task[Person]) -> None:
        if (check.cancelled() or check.exception()) and self._known.get(key, (0, None))[1] is check:
            del self._known[key]


def credential_of(request: web.Request) -> Credential:
    """What a request brings to prove whose it is.

    What was given on purpose, a header, comes before what a browser adds by itself, the cookie; and a key, which may be
    limited, before a session. Immich's `?apiKey=` is not taken: addresses end up in logs. Nor are shared links.

    Raises:
        UnauthorizedError: nothing, or nothing of the kind that Immich hands out.
        ForbiddenError: only a cookie, which another site's page had the browser send.
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
    """Whether a browser sent this for a page that is not ours.

    A neighbour on the same host, Immich itself included, counts as elsewhere: cookies know no ports.
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
    """What Immich answered to somebody's credential, as we tell them."""
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
