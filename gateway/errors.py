"""The gateway's error answers: one exception for each status, one JSON shape for all."""

import json
from typing import Annotated

from aiohttp import web
from pydantic import Field

from indexer.errors import IndexerError
from indexer.views.shapes import Shape

NO_MEMORY = 30
"""Seconds until there may be enough memory again."""


class ErrorAnswer(Shape):
    """Why there is no answer."""

    error: Annotated[str, Field(description="A code.")]
    message: Annotated[str, Field(description="A sentence for a person.")]


class GatewayError(IndexerError):
    """Base of all of them. Its text is sent to the client."""

    status = 500
    code = "error"
    retry_after: int | None = None  # seconds

    @property
    def as_answer(self) -> ErrorAnswer:
        """The answer's content."""
        return ErrorAnswer(error=self.code, message=str(self))


class UnexpectedError(GatewayError):
    """An unexpected error. The gateway's log says more."""

    def __init__(self) -> None:
        super().__init__("unexpected error, see the gateway's log")


class NotFoundError(GatewayError):
    """It does not exist, or not for this user. Or there is no such address, or not with this method (405)."""

    status = 404
    code = "not_found"

    def __init__(self, message: str, status: int = 404) -> None:
        super().__init__(message)
        self.status = status


class HttpError(GatewayError):
    """The request is not valid HTTP. The text says why."""

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
    """A parameter, or something in the body, is missing or wrong. The text names it, and the allowed values."""

    status = 400
    code = "bad_parameter"


class UnauthorizedError(GatewayError):
    """The request does not prove who sent it."""

    status = 401
    code = "unauthorized"


class ForbiddenError(GatewayError):
    """The user may not do this. The text says what is missing."""

    status = 403
    code = "forbidden"


class ConflictError(GatewayError):
    """It cannot be done in the present state. The text describes the state."""

    status = 409
    code = "conflict"


class TooLargeError(GatewayError):
    """More bytes, pixels or characters than we accept."""

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
    """Nothing here answers that task, and the settings name no other server."""

    status = 501
    code = "unsupported"


class UpstreamError(GatewayError):
    """The server that answers such tasks failed or cannot be reached. The text says how."""

    status = 502
    code = "upstream"
    reason = "broken"  # for the metrics, as that of `PassingError`


class BusyError(GatewayError):
    """Too much is waiting to be served soon. Better to say so at once."""

    status = 503
    code = "busy"

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnavailableError(BusyError):
    """Something that the answer needs is not available, such as the database or Immich. The text says what."""

    code = "unavailable"


class ModelAwayError(UnavailableError):
    """A model that the answer needs is not ready: its weights are missing, or it is sick. The text says which."""


class NarrowColumnError(UnavailableError):
    """Immich's vectors have fewer dimensions than the model's. The text says what to choose in Immich."""


class DeadlineError(GatewayError):
    """The answer took longer than the deadline."""

    status = 504
    code = "deadline"


def answer(error: GatewayError) -> web.Response:
    """The error as an HTTP answer, with an `ErrorAnswer`."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    body = json.dumps(error.as_answer.as_json, ensure_ascii=False)
    return web.Response(status=error.status, text=body, content_type="application/json", headers=headers)
