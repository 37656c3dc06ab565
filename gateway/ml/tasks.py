"""What answers a task of Immich's, whoever it is: a model here, a stored result, or another server."""

from collections.abc import Mapping
from typing import Protocol

from gateway.ml.protocol import PredictRequest


class Task(Protocol):
    """Answers one or more of the entries of a request; `gateway.ml.predict` decides who gets which."""

    async def __call__(self, request: PredictRequest) -> dict[str, object]:
        """The answer's members, e.g. `{"clip": "[0.1,...]"}`, for every one of `request.entries`.

        An image's size (`imageWidth`, `imageHeight`) may be among them.

        Raises:
            GatewayError: what to answer instead. Never an empty result in place of a failure.
        """


class Relayed(dict[str, object]):
    """An answer of another server, with its JSON as it came: `raw` need not be written anew."""

    def __init__(self, members: Mapping[str, object], raw: bytes) -> None:
        super().__init__(members)
        self.raw = raw
