"""The container engine, asked as a person asks it."""

import functools
import http.server
import importlib.util
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Images made here carry these names, so that none of a person's own is touched.
PREFIX = "immich-indexer-standin"
IMAGE = "immich-indexer-tried"
BEFORE = "before"  # the tag of an earlier state of our image
SMALL = "small"  # the tag of ours with weights that are quickly fetched
_INDEX_PORT = 18765  # the same in each build, whose layers are kept by what they are built with
CONTAINERS = ("immich_server", "immich_machine_learning", "immich_redis", "immich_postgres")


def run(
    *command: str | Path, folder: Path = ROOT, check: bool = True, text: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs a command; what it printed is part of the complaint where it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=os.environ | {"DOCKER_BUILDKIT": "1"} | environment,
        input=text,
        text=True,
        capture_output=True,
        check=False,
    )
    assert not check or done.returncode == 0, f"{command}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done


def docker(*arguments: str, check: bool = True, text: str | None = None) -> str:
    """What `docker` prints."""
    return run("docker", *arguments, check=check, text=text).stdout.strip()


def compose_program() -> Path:
    """Docker Compose, as requirements-dev.lock brings it: no plugin has to be installed."""
    package = importlib.util.find_spec("compose")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "docker-compose"


def started(container: str) -> str:
    """When, and how often anew by itself."""
    return docker("inspect", "--format", "{{.State.StartedAt}} {{.RestartCount}}", container)


def health(container: str) -> str:
    """As the engine tells it: starting, healthy, unhealthy."""
    return docker("inspect", "--format", "{{.State.Health.Status}}", container)


def exit_status(container: str) -> int:
    """Of what has run there, once it has ended."""
    return int(docker("wait", container))


def address(container: str) -> str:
    """Where a container is reached from this machine."""
    return docker(
        "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", container
    ).split()[0]


def until(what: str, condition: Callable[[], object], seconds: float = 240) -> None:
    """Waits for something outside to become true; the engine tells of it only to those who ask."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.5)


@contextmanager
def torch_index() -> Iterator[str]:
    """A package index with torch for processors: TORCH_CPU_INDEX_URL, what lies on this machine, or torch's own."""
    if address := os.environ.get("TORCH_CPU_INDEX_URL"):
        yield address
        return
    found = sorted(Path(os.environ.get("PIP_FIND_LINKS", "/nowhere")).glob("torch-*cpu*.whl"))
    if not found:
        yield "https://download.pytorch.org/whl/cpu"
        return
    with served(found[0]) as url:
        yield url


@contextmanager
def served(torch: Path) -> Iterator[str]:
    """An index of that file and the torchvision that goes with it, on this machine alone."""
    with tempfile.TemporaryDirectory() as name:
        for package in ("torch", "torchvision"):
            (Path(name) / package).mkdir()
        (Path(name) / "torch" / torch.name).symlink_to(torch)
        pin = next(line for line in (ROOT / "requirements.lock").read_text().splitlines() if line.startswith("torchv"))
        run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", f"{name}/torchvision", pin)
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=name)
        with http.server.ThreadingHTTPServer(("127.0.0.1", _INDEX_PORT), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{_INDEX_PORT}"
            server.shutdown()
