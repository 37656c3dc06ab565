"""Successful answers of the gateway: JSON."""

import json

from aiohttp import web


def as_json(content: object, status: int = 200) -> web.Response:
    """`content` as an answer. Chinese text is not escaped."""
    return web.Response(text=json.dumps(content, ensure_ascii=False), status=status, content_type="application/json")
