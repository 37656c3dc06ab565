"""What integration tests share."""

from io import BytesIO
from uuid import UUID

import pytest
from PIL import Image

from indexer.demo.immich import StandIn


@pytest.fixture
def preview() -> bytes:
    """A preview as Immich makes it: a plain JPEG of 300 by 200 pixels."""
    buffer = BytesIO()
    Image.new("RGB", (300, 200), "white").save(buffer, format="jpeg")
    return buffer.getvalue()


@pytest.fixture
async def asset(immich: StandIn, owner: UUID, preview: bytes) -> UUID:
    """A photo that was just uploaded."""
    return await immich.upload(preview, owner=owner)
