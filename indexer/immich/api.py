"""The parts of Immich's own API that we use: accounts, pictures, starting jobs, removing tags."""

import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Self
from uuid import UUID

import aiohttp
from pydantic import BaseModel, TypeAdapter, ValidationError

from indexer.addresses import http_url
from indexer.errors import IndexerError, SettingsError, words_of

Queue = Literal["faceDetection", "duplicateDetection"]

_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)
_FILE_TIMEOUT = aiohttp.ClientTimeout(total=120, sock_connect=5, sock_read=15)
_LONGEST_ANSWER = 1 << 20  # bytes


class ImmichError(IndexerError):
    """Immich did not do what we asked for."""


class ImmichBusyError(ImmichError):
    """The job is running already."""


class ImmichAwayError(ImmichError):
    """Immich cannot be reached, or fails. It may answer later."""


class ImmichMissingError(ImmichError):
    """It does not exist, or not for this user."""


class ImmichRefusalError(ImmichError):
    """Immich refuses: `status` 401 (unknown credential) or 403 (not permitted), and Immich's own `reason`."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"Immich refuses ({status}): {reason}")
        self.status = status
        self.reason = reason


class ForeignTagError(ImmichError):
    """The tag belongs to another user than the API key, which may not remove it."""


class _Outcome(BaseModel):
    """Immich's answer about one photo whose tag was to be removed."""

    success: bool
    error: str | None = None


_OUTCOMES = TypeAdapter(list[_Outcome])


@dataclass(frozen=True)
class Credential:
    """A header that proves to Immich who a person is. The repr hides the secret.

    Immich stores with a session which browser used it last. So we pass on the `agent` (User-Agent) of the request that
    we received.
    """

    header: Literal["x-api-key", "x-immich-user-token"]
    secret: str = field(repr=False)
    agent: str = field(default="", repr=False, compare=False)

    @property
    def is_key(self) -> bool:
        """Whether it is an API key. A key has permissions, a session may do all that its user may."""
        return self.header == "x-api-key"

    @property
    def digest(self) -> bytes:
        """SHA-256, to recognise it again."""
        return hashlib.sha256(f"{self.header}:{self.secret}".encode()).digest()

    @property
    def headers(self) -> dict[str, str]:
        """The headers to send to Immich."""
        return {self.header: self.secret} | ({"User-Agent": self.agent} if self.agent else {})


@dataclass(frozen=True)
class Account:
    """One of Immich's users."""

    id: UUID
    name: str
    email: str
    is_admin: bool


class Immich:
    """Immich's API; `close()` it, or use it as an asynchronous context manager.

    Args:
        url: Immich's address, with or without /api.
        api_key: our own, of an administrator, for calls that are not made in a user's name.

    Raises:
        SettingsError: `url` is no address.
    """

    def __init__(self, url: str, api_key: str | None = None) -> None:
        try:
            self._url = http_url(url.rstrip("/").removesuffix("/api"), "http://immich-server:2283")
        except ValueError as error:
            raise SettingsError(f"IMMICH_URL: {error}") from None
        self._own = None if api_key is None else Credential("x-api-key", api_key)
        self._session: aiohttp.ClientSession | None = None

    @property
    def has_key(self) -> bool:
        """Whether we have a key of our own."""
        return self._own is not None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def account(self, credential: Credential) -> Account:
        """Whose credential this is. A key needs the permission user.read for this.

        Raises:
            ImmichRefusalError: nobody's, or the key lacks the permission.
            ImmichAwayError: no answer at the moment.
            ImmichError: the server at that address is not Immich.
        """
        answer = await self._read("api/users/me", credential)
        try:
            return Account(UUID(answer["id"]), str(answer["name"]), str(answer["email"]), answer["isAdmin"] is True)
        except (KeyError, TypeError, ValueError):
            raise self._strange("api/users/me") from None

    async def permissions(self, key: Credential) -> frozenset[str]:
        """What an API key may do, such as `asset.read`, or `all`. Any key may ask this. Errors as `account`."""
        answer = await self._read("api/api-keys/me", key)
        permissions = answer.get("permissions") if isinstance(answer, dict) else None
        if not isinstance(permissions, list):
            raise self._strange("api/api-keys/me")
        return frozenset(map(str, permissions))

    async def own_permissions(self) -> frozenset[str]:
        """What our own key may do. Errors as `account`."""
        return await self.permissions(self._key())

    async def ping(self) -> None:
        """Check that Immich answers. Errors as `account`."""
        await self._read("api/server/ping", None)

    @asynccontextmanager
    async def open(
        self, path: str, credential: Credential, *, query: Mapping[str, str], etag: str | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A file, to be read while it arrives (status 200). Status 304: it is still the one that had the tag `etag`.

        Raises:
            ImmichRefusalError: the user may not have it.
            ImmichMissingError: it does not exist, or not for this user.
            ImmichAwayError: no answer at the moment.
            ImmichError: the server at that address is not Immich.
        """
        headers = credential.headers | {"Accept-Encoding": "identity"} | ({"If-None-Match": etag} if etag else {})
        async with self._request("GET", path, headers=headers, params=query, timeout=_FILE_TIMEOUT) as response:
            if response.status not in (200, 304):
                text = await self._text(path, response)
                if response.status in (400, 404):  # Immich also answers so for other people's files
                    raise ImmichMissingError(f"Immich has no /{path} for them")
                raise self._refusal(path, response.status, text)
            yield response

    async def start_missing(self, queue: Queue) -> None:
        """Start a job for what it has not done yet, as Immich's button "Missing" does.

        Raises:
            ImmichBusyError: the job is running already. Immich does not start it twice.
            ImmichError: Immich cannot be reached or refuses. The text says what to do.
        """
        path = f"api/jobs/{queue}"
        status, text = await self._call("PUT", path, self._key(), {"command": "start", "force": False})
        if status in (401, 403):
            raise ImmichError(
                f"Immich refuses IMMICH_API_KEY ({status}): as an administrator make one with the permission job.create"
            )
        if status == 400 and "already running" in text:
            raise ImmichBusyError(f"Immich's job {queue} is running already")
        if status >= 300:
            raise ImmichError(f"Immich answered {status} to /{path}: {text[:300]} (check IMMICH_URL)")

    async def remove_tag(self, tag: UUID, assets: Sequence[UUID]) -> int:
        """Remove `tag` from `assets`. Returns from how many.

        Raises:
            ForeignTagError: the tag or the photos belong to another user.
            ImmichError: Immich cannot be reached or refuses. The text says what to do.
        """
        path = f"api/tags/{tag}/assets"
        status, text = await self._call("DELETE", path, self._key(), {"ids": [str(asset) for asset in assets]})
        if status in (401, 403):
            raise ImmichError(f"Immich refuses IMMICH_API_KEY ({status}): give it the permission tag.asset")
        if status == 400:  # Immich's answer for tags and photos of other users
            raise ForeignTagError(_reason(text))
        try:
            outcomes = _OUTCOMES.validate_json(text if status < 300 else "")
        except ValidationError:
            raise ImmichError(f"Immich answered {status} to /{path}: {text[:300]} (check IMMICH_URL)") from None
        if any(outcome.error == "no_permission" for outcome in outcomes):
            raise ForeignTagError("no_permission")
        return sum(outcome.success for outcome in outcomes)

    def _key(self) -> Credential:
        if self._own is None:
            raise ImmichError("IMMICH_API_KEY is not set")
        return self._own

    async def _read(self, path: str, credential: Credential | None) -> Any:
        status, text = await self._call("GET", path, credential)
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if status != 200 or answer is None:
            raise self._refusal(path, status, text)
        return answer

    def _refusal(self, path: str, status: int, text: str) -> ImmichError:
        """The error for an answer with another status than expected."""
        if status in (401, 403):
            return ImmichRefusalError(status, _reason(text))
        if status >= 500 or status == 429:
            return ImmichAwayError(f"Immich at {self._url} answered {status}")
        return self._strange(path, status)

    async def _call(
        self, method: str, path: str, credential: Credential | None, content: object = None
    ) -> tuple[int, str]:
        """Status and body."""
        headers = {} if credential is None else credential.headers
        async with self._request(method, path, headers=headers, json=content) as response:
            return response.status, await self._text(path, response)

    async def _text(self, path: str, response: aiohttp.ClientResponse) -> str:
        """The whole answer. `content.read(n)` would only return what has arrived so far.

        Raises:
            ImmichError: it is longer than any answer of Immich's.
        """
        body = bytearray()
        async for part in response.content.iter_any():
            body += part
            if len(body) > _LONGEST_ANSWER:
                raise ImmichError(
                    f"the server at {self._url} is not Immich: more than {_LONGEST_ANSWER} bytes to /{path} "
                    "(check IMMICH_URL)"
                )
        return body.decode(errors="replace")

    @asynccontextmanager
    async def _request(self, method: str, path: str, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """Raises ImmichAwayError, also for what fails while the answer is read."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar())
        try:
            # No redirects: a credential is sent to IMMICH_URL only.
            async with self._session.request(method, self._url / path, allow_redirects=False, **options) as response:
                yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ImmichAwayError(
                f"cannot reach Immich at {self._url}: {words_of(error)} (check IMMICH_URL)"
            ) from error

    def _strange(self, path: str, status: int = 200) -> ImmichError:
        return ImmichError(f"the server at {self._url} is not Immich: {status} to /{path} (check IMMICH_URL)")


def _reason(text: str) -> str:
    """Immich's message in an error, without the JSON around it."""
    try:
        answer = json.loads(text)
    except ValueError:
        return text[:300] or "no reason given"
    reason = answer.get("message") if isinstance(answer, dict) else None
    return str(reason or "no reason given")[:300]
