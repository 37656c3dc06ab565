"""Reading previews: what is said where this process may not."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from indexer import images
from indexer.work.media import ForbiddenError, Media


@contextmanager
def unreadable(*, folder: bool) -> Iterator[Path]:
    """A preview that this process may not read, for which root becomes somebody else; or its folder keeps it out."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        thumbs = Path(name) / "thumbs"
        thumbs.mkdir()
        preview = thumbs / "a.jpeg"
        preview.write_bytes(b"a picture")
        closed = thumbs if folder else preview
        closed.chmod(0)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield closed
        finally:
            if root:
                os.seteuid(0)
            closed.chmod(0o700)


@pytest.mark.parametrize("folder", [True, False])
async def test_it_says_who_may_not_read_and_what_to_set(folder: bool):
    with unreadable(folder=folder) as closed:
        media = Media(images.PathMap.parse(f"/data={Path(*closed.parts[:3])}"), max_bytes=100, timeout=10)
        owner = closed.stat()
        with pytest.raises(ForbiddenError) as caught:
            await media.read("/data/thumbs/a.jpeg")
        said = str(caught.value)
        assert f"permission denied for user {os.geteuid()}: {closed} belongs to {owner.st_uid}:{owner.st_gid}" in said
    assert f"set INDEXER_UID={owner.st_uid} and INDEXER_GID={owner.st_gid}" in said
