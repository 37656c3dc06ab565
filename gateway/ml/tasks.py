"""The interface of whatever answers a task of Immich's: a model here, a stored result, or another server."""

from collections.abc import Mapping
from typing import Protocol

from gateway.ml.protocol import PredictRequest


class Task(Protocol):
    """Answers one or more entries of a request. `gateway.ml.predict` decides which task gets which."""

    async def __call__(self, request: PredictRequest) -> dict[str, object]:
        """The members of the answer, e.g. `{"clip": "[0.1,...]"}`, for every one of `request.entries`.

        The size of the image (`imageWidth`, `imageHeight`) may be among them.

        Raises:
            GatewayError: the error to answer with. A failure never becomes an empty result.
        """


class Relayed(dict[str, object]):
    """An answer of another server, with its JSON as it came: `raw` can be sent on unchanged."""

    def __init__(self, members: Mapping[str, object], raw: bytes) -> None:
        super().__init__(members)
        self.raw = raw
