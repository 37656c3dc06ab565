"""Serves the console's pages and files. They hold no data of photos, so everybody may have them."""

import hashlib
from importlib.resources import files
from typing import NamedTuple

import jinja2
from aiohttp import web

import indexer
from gateway.console.language import LANGUAGES, Language, chosen

_PACKAGE = files("gateway.console")
_SECURITY = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' blob:",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "Referrer-Policy": "same-origin",  # an address holds what was searched for
}
_FOR_EVER = "public, max-age=31536000, immutable"
_COOKIE = "console_lang"
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class _File(NamedTuple):
    content: bytes
    content_type: str


class Console:
    """Serves `/console`. Like the API for people it has no token in its addresses."""

    def __init__(self) -> None:
        self._files = {
            file.name: _File(file.read_bytes(), _TYPES[file.name.rpartition(".")[2]])
            for file in _PACKAGE.joinpath("static").iterdir()
            if file.is_file()
        }
        # One digest of all files is in their address, so that browsers may keep them for ever. Modules import each
        # other by relative addresses, so the digest has to be the same for all.
        whole = hashlib.sha256(
            b"\0".join(name.encode() + b"\0" + self._files[name].content for name in sorted(self._files))
        )
        self._digest = whole.hexdigest()[:16]
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("gateway.console"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def routes(self) -> list[web.RouteDef]:
        """To be added to an application."""
        return [
            web.get("/console", self._search),
            web.get("/console/", self._home),
            web.get("/console/photo/{id}", self._photo),
            web.get("/console/status", self._status),
            web.get("/console/trial", self._trial),
            web.get("/console/static/{digest}/{name}", self._file),
        ]

    async def _home(self, _request: web.Request) -> web.Response:
        return web.Response(status=308, headers={"Location": "/console"})

    async def _search(self, request: web.Request) -> web.Response:
        return self._page(request, "search")

    async def _photo(self, request: web.Request) -> web.Response:
        return self._page(request, "photo")

    async def _status(self, request: web.Request) -> web.Response:
        return self._page(request, "status")

    async def _trial(self, request: web.Request) -> web.Response:
        return self._page(request, "trial")

    async def _file(self, request: web.Request) -> web.Response:
        file = self._files.get(request.match_info["name"])
        if file is None or request.match_info["digest"] != self._digest:
            raise web.HTTPNotFound
        return web.Response(
            body=file.content,
            content_type=file.content_type,
            charset="utf-8",
            headers={"Cache-Control": _FOR_EVER},
        )

    def _page(self, request: web.Request, name: str) -> web.Response:
        """A page. If the address names a language, later pages are in that language, too."""
        wanted = request.query.get("lang")
        language = chosen(wanted, request.cookies.get(_COOKIE), request.headers.get("Accept-Language", ""))
        html = self._templates.get_template(f"{name}.html").render(
            page=name,
            static=f"/console/static/{self._digest}",
            lang=language.tag,
            languages=LANGUAGES,
            texts=language.texts,
            version=indexer.__version__,
        )
        response = web.Response(text=html, content_type="text/html", headers=_SECURITY | self._varying(language))
        if wanted == language.tag:
            response.set_cookie(_COOKIE, wanted, path="/console", httponly=True, samesite="Strict")
        return response

    @staticmethod
    def _varying(language: Language) -> dict[str, str]:
        return {"Content-Language": language.tag, "Vary": "Accept-Language, Cookie"}
