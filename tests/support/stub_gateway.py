"""`python -m tests.support.stub_gateway`: a gateway whose text towers know what the pictures show."""

import asyncio

from gateway.app import create_app
from gateway.models import LazyModels
from gateway.server import serve
from indexer import logs
from indexer.settings import Settings
from tests.support.gateways import stub_models, unsupported
from tests.support.stubs import StubAsker


def models(setting: str) -> LazyModels:
    """Of a gateway with that value of CLIP_MODEL."""
    return LazyModels(StubAsker(setting), "stub ocr", stub_models()[0].load_pictures, open_text=StubAsker)


if __name__ == "__main__":
    settings = Settings.load()
    logs.configure(settings.log_level, settings.log_format)
    app = create_app(settings, models(settings.clip_model), forward=unsupported)
    asyncio.run(serve(app, settings.gateway_host, settings.gateway_port))
