"""`POST /api/webhooks/tagged`: Immich's workflow "Asset tagged" tells of a photo with the tag `reindex`.

The trigger on Immich's table hears of it, too: whoever is first has the photo read, and it is read once.
"""

from typing import Any
from uuid import UUID

from aiohttp import web

from gateway.errors import NotFoundError, ParameterError
from gateway.gate import Gate
from gateway.library import Library
from gateway.metrics import Metrics
from gateway.people.answers import as_json
from gateway.people.identity import Identity
from gateway.people.parameters import content_of, parameters, uuid_of
from indexer import tags

_AT_ONCE = 64
_LONGEST_BODY = 1 << 20  # bytes: Immich sends all that it knows of a photo


class Webhooks:
    """Takes in what Immich's workflows tell. Nothing of it is believed but the id of the photo.

    Args:
        identity: tells whose workflow it is, by the API key in its header.
        library: Immich's database, which tells whose photo it is, and how it is tagged.
        metrics: where to count.
    """

    def __init__(self, identity: Identity, library: Library, metrics: Metrics) -> None:
        self.gate = Gate("webhooks", _AT_ONCE)
        self._identity = identity
        self._library = library
        self._metrics = metrics

    def routes(self) -> list[web.RouteDef]:
        """To be added to an application."""
        return [web.post("/api/webhooks/tagged", self._tagged)]

    async def _tagged(self, request: web.Request) -> web.Response:
        person = await self._identity(request)
        person.need("asset.read")
        person.need("asset.update")
        parameters(request, ())
        asset = _asset(await content_of(request, longest=_LONGEST_BODY))
        with self.gate(), self._metrics.timed("webhook"):
            found = await self._library.need(lambda pool: tags.wish(pool, asset, person.account.id))
        if found is None:
            raise NotFoundError("there is no such photo")
        return as_json({"tagged": found}, 202)


def _asset(content: dict[str, Any]) -> UUID:
    """The photo that it is about. Raises ParameterError."""
    data = content.get("data")
    asset = data.get("asset") if isinstance(data, dict) else None
    found = uuid_of(asset.get("id")) if isinstance(asset, dict) else None
    if found is None:
        raise ParameterError('the body names no photo: it is not what Immich sends, {"data": {"asset": {"id": "..."}}}')
    return found
