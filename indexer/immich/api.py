"""Immich's own API, as far as we ask it for anything: who somebody is, pictures, starting its jobs, taking tags off."""

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
    """Immich did not do what it was asked."""


class ImmichBusyError(ImmichError):
    """That job is at work already."""


class ImmichAwayError(ImmichError):
    """Immich cannot be reached, or fails: later it may answer."""


class ImmichMissingError(ImmichError):
    """There is no such thing, or not for whoever asks."""


class ImmichRefusalError(ImmichError):
    """Immich does not let them: `status` 401 (nobody it knows) or 403 (who may not), `reason` as it says it."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"Immich refuses ({status}): {reason}")
        self.status = status
        self.reason = reason


class ForeignTagError(ImmichError):
    """The tag is of another person than the API key, and may not be taken off with it."""


class _Outcome(BaseModel):
    """What Immich says of one photo that a tag was to be taken off."""

    success: bool
    error: str | None = None


_OUTCOMES = TypeAdapter(list[_Outcome])


@dataclass(frozen=True)
class Credential:
    """What proves to Immich who somebody is: a header. Its repr keeps the secret.

    Immich notes with a session which browser used it last, so it is shown the very `agent` (User-Agent) that asked us.
    """

    header: Literal["x-api-key", "x-immich-user-token"]
    secret: str = field(repr=False)
    agent: str = field(default="", repr=False, compare=False)

    @property
    def is_key(self) -> bool:
        """Whether it is an API key, which has permissions; a session may do all that its owner may."""
        return self.header == "x-api-key"

    @property
    def digest(self) -> bytes:
        """SHA-256 to remember it by."""
        return hashlib.sha256(f"{self.header}:{self.secret}".encode()).digest()

    @property
    def headers(self) -> dict[str, str]:
        """As Immich gets them."""
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
        api_key: our own, of an administrator, for what is not asked in somebody's name.

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
        """Whether there is a key of our own."""
        return self._own is not None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def account(self, credential: Credential) -> Account:
        """Whose credential this is. A key needs the permission user.read for it.

        Raises:
            ImmichRefusalError: it is nobody's, or the key may not ask.
            ImmichAwayError: no answer for now.
            ImmichError: what answers at that address is no Immich.
        """
        answer = await self._read("api/users/me", credential)
        try:
            return Account(UUID(answer["id"]), str(answer["name"]), str(answer["email"]), answer["isAdmin"] is True)
        except (KeyError, TypeError, ValueError):
            raise self._strange("api/users/me") from None

    async def permissions(self, key: Credential) -> frozenset[str]:
        """What an API key may do, such as `asset.read`, or `all`; any key may ask that. Errors as `account`."""
        answer = await self._read("api/api-keys/me", key)
        permissions = answer.get("permissions") if isinstance(answer, dict) else None
        if not isinstance(permissions, list):
            raise self._strange("api/api-keys/me")
        return frozenset(map(str, permissions))

    async def own_permissions(self) -> frozenset[str]:
        """What our own key may do. Errors as `account`."""
        return await self.permissions(self._key())

    async def ping(self) -> None:
        """See whether Immich answers. Errors as `account`."""
        await self._read("api/server/ping", None)

    @asynccontextmanager
    async def open(
        self, path: str, credential: Credential, *, query: Mapping[str, str], etag: str | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A file, 200, to be read while it arrives; or 304, if it is still the one that had the tag `etag`.

        Raises:
            ImmichRefusalError: they may not have it.
            ImmichMissingError: there is no such thing, or not for them.
            ImmichAwayError: no answer for now.
            ImmichError: what answers at that address is no Immich.
        """
        headers = credential.headers | {"Accept-Encoding": "identity"} | ({"If-None-Match": etag} if etag else {})
        async with self._request("GET", path, headers=headers, params=query, timeout=_FILE_TIMEOUT) as response:
            if response.status not in (200, 304):
                text = await self._text(path, response)
                if response.status in (400, 404):  # Immich's words for "not yours", too
                    raise ImmichMissingError(f"Immich has no /{path} for them")
                raise self._refusal(path, response.status, text)
            yield response

    async def start_missing(self, queue: Queue) -> None:
        """Have a job do what it has not done yet, as its button "Missing" does.

        Raises:
            ImmichBusyError: the job is at work already; Immich does not start it twice.
            ImmichError: Immich cannot be reached or refuses; the text says what to do.
        """
        path = f"api/jobs/{queue}"
        status, text = await self._call("PUT", path, self._key(), {"command": "start", "force": False})
        if status in (401, 403):
            raise ImmichError(
                f"Immich refuses IMMICH_API_KEY ({status}): as an administrator make one with the permission job.create"
            )
        if status == 400 and "already running" in text:
            raise ImmichBusyError(f"Immich's job {queue} is at work already")
        if status >= 300:
            raise ImmichError(f"Immich answered {status} to /{path}: {text[:300]} (check IMMICH_URL)")

    async def take_off(self, tag: UUID, assets: Sequence[UUID]) -> int:
        """Take `tag` off `assets`. Returns off how many.

        Raises:
            ForeignTagError: it is of another person, or the photos are.
            ImmichError: Immich cannot be reached or refuses; the text says what to do.
        """
        path = f"api/tags/{tag}/assets"
        status, text = await self._call("DELETE", path, self._key(), {"ids": [str(asset) for asset in assets]})
        if status in (401, 403):
            raise ImmichError(f"Immich refuses IMMICH_API_KEY ({status}): give it the permission tag.asset")
        if status == 400:  # what Immich says of what is not one's own
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
        """What an answer other than the one asked for means."""
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
        """The whole answer. Not `content.read(n)`: that gives what has arrived so far.

        Raises:
            ImmichError: it is longer than any answer of Immich's.
        """
        body = bytearray()
        async for part in response.content.iter_any():
            body += part
            if len(body) > _LONGEST_ANSWER:
                raise ImmichError(
                    f"what answers at {self._url} is no Immich: more than {_LONGEST_ANSWER} bytes to /{path} "
                    "(check IMMICH_URL)"
                )
        return body.decode(errors="replace")

    @asynccontextmanager
    async def _request(self, method: str, path: str, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """Raises ImmichAwayError also for what fails while the answer is read."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar())
        try:
            # No redirects: a credential goes to IMMICH_URL and nowhere else.
            async with self._session.request(method, self._url / path, allow_redirects=False, **options) as response:
                yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ImmichAwayError(
                f"cannot reach Immich at {self._url}: {words_of(error)} (check IMMICH_URL)"
            ) from error

    def _strange(self, path: str, status: int = 200) -> ImmichError:
        return ImmichError(f"what answers at {self._url} is no Immich: {status} to /{path} (check IMMICH_URL)")


def _reason(text: str) -> str:
    """What Immich says in an error, without the JSON around it."""
    try:
        answer = json.loads(text)
    except ValueError:
        return text[:300] or "no reason given"
    reason = answer.get("message") if isinstance(answer, dict) else None
    return str(reason or "no reason given")[:300]
