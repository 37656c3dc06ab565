"""What the gateway answers when it cannot answer: one exception a status, one JSON shape for all."""

import json

from aiohttp import web

from indexer.errors import IndexerError


class GatewayError(IndexerError):
    """Base of all of them; its text goes to the client."""

    status = 500
    code = "error"
    retry_after: int | None = None  # seconds


class NotFoundError(GatewayError):
    """There is no such address, or not for this method: `status` says which."""

    code = "not_found"

    def __init__(self, message: str, status: int = 404) -> None:
        super().__init__(message)
        self.status = status


class HttpError(GatewayError):
    """What was sent is no request that HTTP knows: `status` says in which way."""

    code = "bad_request"

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class MissingInputError(GatewayError):
    """Neither image nor text, or not the one that the task needs, or an image that cannot be decoded."""

    status = 400
    code = "bad_input"


class ParameterError(GatewayError):
    """A parameter of an address is missing or wrong; the text names it, and what it may be."""

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
    """Something needed for an answer without doubt is not there, such as the width of Immich's vectors."""

    code = "unavailable"


class DeadlineError(GatewayError):
    """The answer took longer than we let anybody wait."""

    status = 504
    code = "deadline"


def answer(error: GatewayError) -> web.Response:
    """The error as the client gets it: `{"error": code, "message": text}`."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    body = json.dumps({"error": error.code, "message": str(error)}, ensure_ascii=False)
    return web.Response(status=error.status, text=body, content_type="application/json", headers=headers)
