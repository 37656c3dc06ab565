"""`POST /api/webhooks/tagged`: Immich's workflow "Asset tagged" sends a photo that was tagged.

Our trigger on Immich's table notices the tag `reindex`, too. Either of them queues the photo, and it is read once.
"""

from typing import Annotated

from aiohttp import web
from pydantic import ConfigDict, Field

from gateway.answers import as_json
from gateway.errors import NotFoundError
from gateway.gate import Gate
from gateway.library import Library
from gateway.metrics import Metrics
from gateway.people.operation import Answer, Asked, Endpoint, Operation
from gateway.people.parameters import Content, Id, MustBe, Parameters
from indexer.queue import tags
from indexer.views.shapes import Shape

_AT_ONCE = 64
_LONGEST_BODY = 1 << 20  # bytes: Immich sends all that it knows of a photo


class _OfImmich(Content):
    """A part of what Immich sends. Other fields are ignored."""

    model_config = ConfigDict(extra="ignore")


class TaggedAsset(_OfImmich):
    """A photo as Immich sends it."""

    id: Id


class TaggedData(_OfImmich):
    """The data of a workflow."""

    asset: TaggedAsset


class TaggedContent(_OfImmich):
    """What Immich's workflow *Asset tagged* sends. Other fields are ignored."""

    data: Annotated[
        TaggedData,
        MustBe(
            'the body names no photo: it is not what Immich sends, {"data": {"asset": {"id": "..."}}}',
            named=False,
        ),
    ]


class TaggedAnswer(Shape):
    """What is done."""

    tagged: Annotated[bool, Field(description="Whether the photo has the tag `reindex`, and so is read again.")]


TAGGED = Operation[Parameters, TaggedContent](
    "POST",
    "/api/webhooks/tagged",
    "tagged",
    "For Immich's workflow *Asset tagged*",
    Parameters,
    {202: Answer("It was received.", TaggedAnswer)},
    text="Reads one's own photo again if it has the tag `reindex`. `reindex/ocr`: text alone, `reindex/clip`: vector.",
    content=TaggedContent,
    longest=_LONGEST_BODY,
    permissions=("asset.read", "asset.update"),
    errors=(NotFoundError,),
)


class Webhooks:
    """Receives what Immich's workflows send. Only the id of the photo is used.

    Args:
        library: Immich's database, which says whose photo it is, and which tags it has.
        metrics: where to count.
    """

    def __init__(self, library: Library, metrics: Metrics) -> None:
        self.gate = Gate("webhooks", _AT_ONCE)
        self._library = library
        self._metrics = metrics

    def endpoints(self) -> list[Endpoint[Parameters, TaggedContent]]:
        """To be added to the API."""
        return [Endpoint(TAGGED, self._tagged)]

    async def _tagged(self, asked: Asked[Parameters, TaggedContent]) -> web.Response:
        asset = asked.content.data.asset.id
        with self.gate(), self._metrics.timed("webhook"):
            found = await self._library.need(lambda pool: tags.enqueue(pool, asset, asked.person.account.id))
        if found is None:
            raise NotFoundError("there is no such photo")
        return as_json(TaggedAnswer(tagged=found).as_json, 202)
