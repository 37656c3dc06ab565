"""`GET /api/me`: who is asking, and what they may do here."""

from aiohttp import web

import indexer
from gateway.people.answers import as_json
from gateway.people.identity import Identity
from gateway.people.parameters import parameters
from indexer.models import names

_RIGHTS = {"search": "asset.read", "thumbnails": "asset.view", "reprocess": "asset.update"}


class Me:
    """Tells people who they are.

    Args:
        identity: tells who is asking.
        immich: address of Immich's pages, for links.
        clip_model: the name of the model that searches by meaning; None: there is none.
    """

    def __init__(self, identity: Identity, immich: str, clip_model: str | None) -> None:
        self._identity = identity
        self._immich = immich
        self._demo_model = clip_model if names.is_demo(clip_model) else None

    def routes(self) -> list[web.RouteDef]:
        """To be added to an application."""
        return [web.get("/api/me", self._me)]

    async def _me(self, request: web.Request) -> web.Response:
        person = await self._identity(request)  # which needs the permission user.read
        parameters(request, ())
        account = person.account
        return as_json(
            {
                "id": str(account.id),
                "name": account.name,
                "email": account.email,
                "isAdmin": account.is_admin,
                "permissions": None if person.permissions is None else sorted(person.permissions),
                "may": {what: person.may(permission) for what, permission in _RIGHTS.items()},
                "immichUrl": self._immich,
                "demoModel": self._demo_model,
                "version": indexer.__version__,
            }
        )
