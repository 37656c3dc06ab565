"""One operation of the API: what it takes, answers and refuses. It is checked by this, and described by it."""

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
    """What comes back when all is well.

    Attributes:
        text: when it comes.
        shape: its JSON; None: it is not JSON.
        types: its media types; none: it is empty.
        events: of a stream, what its events are by name.
        headers: those that a client may want, with what they say.
    """

    text: str
    shape: type[Shape] | None = None
    types: tuple[str, ...] = ("application/json",)
    events: Mapping[str, type[Shape]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation(Generic[P, C]):
    """An operation.

    Attributes:
        method: of HTTP.
        path: with the names of parameters in braces.
        name: for programs that are made from the description.
        summary: what it does, in a line.
        parameters: in the address.
        answers: by status.
        text: what else there is to say.
        headers: those it looks at, and what for. One that it makes nothing of is passed over.
        content: in the body; None: the body is not read.
        longest: bytes that the body may have.
        permissions: those that an API key needs besides `user.read`.
        errors: those that not every operation may answer with.
        public: whether nobody is asked who they are.
        allow_head: whether HEAD answers, too.
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
        """All that it may answer with."""
        of_persons = () if self.public else _OF_PERSONS
        return (*_ALWAYS, *of_persons, *(_OF_BODIES if self.content else ()), *self.errors)

    def admit(self, person: Person) -> None:
        """Raises ForbiddenError unless their key has the permissions."""
        for permission in self.permissions:
            person.need(permission)


@dataclass(frozen=True)
class Asked(Generic[P, C]):
    """One request, of somebody who may ask it, with nothing wrong in it. `content`: None where no body is read."""

    request: web.Request
    person: Person
    parameters: P
    content: C


@dataclass(frozen=True)
class Endpoint(Generic[P, C]):
    """An operation and what does it."""

    operation: Operation[P, C]
    handler: Callable[[Asked[P, C]], Awaitable[web.StreamResponse]]
