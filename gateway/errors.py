"""What the gateway answers when it cannot answer: one exception a status, one JSON shape for all."""

import json
from typing import Annotated

from aiohttp import web
from pydantic import Field

from indexer.errors import IndexerError
from indexer.views.shapes import Shape


class ErrorAnswer(Shape):
    """Why there is no answer."""

    error: Annotated[str, Field(description="A code.")]
    message: Annotated[str, Field(description="A sentence for a person.")]


class GatewayError(IndexerError):
    """Base of all of them; its text goes to the client."""

    status = 500
    code = "error"
    retry_after: int | None = None  # seconds

    @property
    def as_answer(self) -> ErrorAnswer:
        """As the client is told."""
        return ErrorAnswer(error=self.code, message=str(self))


class UnexpectedError(GatewayError):
    """Something that nobody thought of; the gateway's log says more."""

    def __init__(self) -> None:
        super().__init__("unexpected error, see the gateway's log")


class NotFoundError(GatewayError):
    """There is no such thing, or not for whoever asks; or no such address, or not for this method (405)."""

    status = 404
    code = "not_found"

    def __init__(self, message: str, status: int = 404) -> None:
        super().__init__(message)
        self.status = status


class HttpError(GatewayError):
    """What was sent is no request that HTTP knows; the text says in which way."""

    status = 400
    code = "bad_request"

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class MissingInputError(GatewayError):
    """Neither image nor text, or not the one that the task needs, or an image that cannot be decoded."""

    status = 400
    code = "bad_input"


class ParameterError(GatewayError):
    """A parameter, or something in the body, is missing or wrong; the text names it, and what it may be."""

    status = 400
    code = "bad_parameter"


class UnauthorizedError(GatewayError):
    """Nobody proved who is asking."""

    status = 401
    code = "unauthorized"


class ForbiddenError(GatewayError):
    """Whoever is asking may not; the text says what is missing."""

    status = 403
    code = "forbidden"


class ConflictError(GatewayError):
    """It cannot be done as things are; the text says how they are."""

    status = 409
    code = "conflict"


class TooLargeError(GatewayError):
    """More bytes, pixels or characters than we take."""

    status = 413
    code = "too_large"


class MalformedError(GatewayError):
    """The form or its entries are not what Immich sends."""

    status = 422
    code = "malformed"


class SlowClientError(GatewayError):
    """The request did not arrive in time."""

    status = 408
    code = "slow_client"


class UnsupportedError(GatewayError):
    """Nothing here answers that task, and no other server was named to ask."""

    status = 501
    code = "unsupported"


class UpstreamError(GatewayError):
    """The server that answers such tasks for us failed or cannot be reached; the text says how."""

    status = 502
    code = "upstream"
    reason = "broken"  # for the metrics, as that of `PassingError`


class BusyError(GatewayError):
    """More is waiting than can be served soon: better to hear it now."""

    status = 503
    code = "busy"

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnavailableError(BusyError):
    """Something needed for an answer is not there, such as the database or Immich; the text says what."""

    code = "unavailable"


class ModelAwayError(UnavailableError):
    """A model that an answer needs is not there now: its weights are missing, or it is sick; the text says which."""


class DeadlineError(GatewayError):
    """The answer took longer than we let anybody wait."""

    status = 504
    code = "deadline"


def answer(error: GatewayError) -> web.Response:
    """The error as the client gets it, an `ErrorAnswer`."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    body = json.dumps(error.as_answer.as_json, ensure_ascii=False)
    return web.Response(status=error.status, text=body, content_type="application/json", headers=headers)
