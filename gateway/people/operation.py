"""One operation of the API: its parameters, answers and errors. Requests are checked, and described, by it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from aiohttp import web

from gateway.errors import (
    BusyError,
    ForbiddenError,
    GatewayError,
    HttpError,
    ParameterError,
    SlowClientError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
    UnexpectedError,
    UpstreamError,
)
from gateway.people.identity import Person
from gateway.people.parameters import Content, Parameters
from indexer.views.shapes import Shape

P = TypeVar("P", bound=Parameters)
C = TypeVar("C", bound=Content | None)

_ALWAYS = (ParameterError, HttpError, BusyError, UnexpectedError)
_OF_PERSONS = (UnauthorizedError, ForbiddenError, UpstreamError, UnavailableError)
_OF_BODIES = (SlowClientError, TooLargeError)


@dataclass(frozen=True)
class Answer:
    """A successful answer.

    Attributes:
        text: what it is, or when it is given.
        shape: its JSON. None: it is not JSON.
        types: its media types. Empty: it has no body.
        events: of a stream, its events by name.
        headers: headers that a client may need, and what each says.
    """

    text: str
    shape: type[Shape] | None = None
    types: tuple[str, ...] = ("application/json",)
    events: Mapping[str, type[Shape]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation(Generic[P, C]):
    """An operation of the API.

    Attributes:
        method: of HTTP.
        path: with the names of parameters in braces.
        name: the name in programs that are generated from the description.
        summary: what it does, in one line.
        parameters: those in the address.
        answers: its answers by status.
        text: more about it.
        headers: the request headers that it uses, and what for. A value that it does not understand is ignored.
        content: the body. None: the body is not read.
        longest: the largest body, in bytes.
        permissions: those that an API key needs besides `user.read`.
        errors: its errors, without those that every operation may have.
        public: whether anybody may ask, without a key or a session.
        allow_head: whether it also answers HEAD.
    """

    method: Literal["GET", "POST"]
    path: str
    name: str
    summary: str
    parameters: type[P]
    answers: Mapping[int, Answer]
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    content: type[C] | None = None
    longest: int = 4096
    permissions: tuple[str, ...] = ()
    errors: tuple[type[GatewayError], ...] = ()
    public: bool = False
    allow_head: bool = True

    @property
    def all_errors(self) -> tuple[type[GatewayError], ...]:
        """All errors that it may answer with."""
        of_persons = () if self.public else _OF_PERSONS
        return (*_ALWAYS, *of_persons, *(_OF_BODIES if self.content else ()), *self.errors)

    def admit(self, person: Person) -> None:
        """Raise ForbiddenError unless their key has the permissions."""
        for permission in self.permissions:
            person.need(permission)


@dataclass(frozen=True)
class Asked(Generic[P, C]):
    """A request that was checked, of somebody who may send it. `content`: None where no body is read."""

    request: web.Request
    person: Person
    parameters: P
    content: C


@dataclass(frozen=True)
class Endpoint(Generic[P, C]):
    """An operation, and the function that carries it out."""

    operation: Operation[P, C]
    handler: Callable[[Asked[P, C]], Awaitable[web.StreamResponse]]
