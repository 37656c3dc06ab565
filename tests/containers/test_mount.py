"""Photos on a bucket that s3fs mounts: the mount ends, and is made anew, under a running indexer."""

import contextlib
import subprocess
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port

from tests.containers.engine import docker, run, until
from tests.containers.stack import Stack, immich_in

MOTO = "moto[server]==5.2.5"


class Bucket:
    """An S3 server of moto's, and a mount of its one bucket; what is uploaded outlives the mount.

    Args:
        parent: a folder that shares its mounts, as every folder does where systemd runs.
    """

    def __init__(self, parent: Path, python: Path) -> None:
        self.point = parent / "bucket"
        self.point.mkdir()
        self._password = parent.parent / "passwd-s3fs"
        self._password.write_text("key:secret")
        self._password.chmod(0o600)
        self._url = f"http://127.0.0.1:{unused_port()}"
        port = self._url.rpartition(":")[2]
        self._server = subprocess.Popen([python, "-m", "moto.server", "--port", port], stderr=subprocess.DEVNULL)
        until("moto answers", self._made)
        self.mount()

    def _made(self) -> bool:
        done = run("curl", "--silent", "--fail", "--request", "PUT", f"{self._url}/bucket", check=False)
        return done.returncode == 0

    def mount(self) -> None:
        """Makes it."""
        options = f"url={self._url},use_path_request_style,passwd_file={self._password},allow_other,umask=0022,nonempty"
        self._mount = subprocess.Popen(["s3fs", "bucket", self.point, "-f", "-o", options], stderr=subprocess.DEVNULL)
        until("the mount", self.point.is_mount)

    def kill(self) -> None:
        """As when the program dies: the mount point stays, dead."""
        self._mount.kill()
        self._mount.wait()

    def unmount(self) -> None:
        """What its service does before it makes it anew."""
        run("umount", "--lazy", self.point, check=False)

    def close(self) -> None:
        self.kill()
        self.unmount()
        self._server.kill()
        self._server.wait()


@pytest.fixture(scope="module")
def bucket(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    folder = tmp_path_factory.mktemp("bucket")
    venv.create(folder / "moto", with_pip=True)
    python = folder / "moto/bin/python"
    run(python, "-m", "pip", "install", "--quiet", MOTO)
    parent = folder / "mounts"
    parent.mkdir()
    run("mount", "--bind", parent, parent)
    run("mount", "--make-shared", parent)
    with contextlib.ExitStack() as stack:
        stack.callback(run, "umount", "--recursive", "--lazy", parent)
        bucket = Bucket(parent, python)
        stack.callback(bucket.close)
        yield bucket


@pytest.fixture(scope="module")
def stack(images: str, bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    photos = bucket.point / "immich"
    photos.mkdir()
    stack = Stack(tmp_path_factory.mktemp("network") / "immich-indexer", "compose.yaml", "compose.juicefs.yaml")
    stack.set(
        CLIP_MODEL=images,
        UPLOAD_LOCATION=str(photos),
        MOUNT_PARENT=str(bucket.point.parent),
    )
    yield stack
    stack.down()


async def test_a_mount_that_is_made_anew_is_read_without_a_restart(stack, bucket, pictures):
    photos = bucket.point / "immich"
    stack.compose("up", "--detach")
    async with immich_in(photos) as immich:
        await immich.all_read(await immich.upload(pictures, 2))
        (indexer,) = stack.containers("indexer")
        started = docker("inspect", "--format", "{{.State.StartedAt}}", indexer)

        docker("pause", indexer)  # so that it does not read them before
        waiting = await immich.upload(pictures, 2)
        bucket.kill()
        docker("unpause", indexer)
        await immich.tried(waiting)
        assert await immich.unread(waiting) == 2
        bucket.unmount()
        bucket.mount()
        await immich.all_read([*waiting, *await immich.upload(pictures, 2)])
        assert docker("inspect", "--format", "{{.State.StartedAt}}", indexer) == started
        assert await immich.pool.fetchval("SELECT count(*) FROM immich_indexer.job WHERE dead") == 0
