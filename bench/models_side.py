"""One side of `bench models`: a process with one tower of a package, ours or that of Immich's own server.

`PYTHON -P bench/models_side.py SIDE TOWER MODEL THREADS`. For Immich's side the interpreter is one that has its server
installed, so nothing of ours is imported there. The process prints an empty JSON object once the tower is loaded. Then
it answers each line `{"items": [...], "at_once": n}` with the seconds that they took, n under way at a time, its
memory, and the first vector. Items are the paths of pictures, or texts.
"""

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

LANGUAGE = "zh-CN"

Ask = Callable[[Sequence[Any], int], list[Any]]
"""From items, and how many are under way at a time, to their vectors."""


def ours_image(model: str, threads: int) -> Ask:
    """Through the stages and the engine of the indexer."""
    from indexer import allocator
    from indexer.models.load import load_models, start_inference
    from indexer.settings import Settings

    allocator.keep_freed()  # as the indexer's command does
    settings = Settings.load(clip_model=model, tasks="clip", device="cpu", cpu_threads=threads, _env_file=None)
    inference = start_inference(settings, load_models(settings))

    async def read(items: Sequence[bytes], at_once: int) -> list[Any]:
        gate = asyncio.Semaphore(at_once)

        async def one(data: bytes) -> Any:
            async with gate:
                return (await inference.read(data, clip=True, ocr=False))[0]

        return list(await asyncio.gather(*map(one, items)))

    return lambda items, at_once: asyncio.run(read(items, at_once))


def ours_text(model: str, threads: int) -> Ask:
    """Through the engine of the gateway, which takes all that wait as one batch."""
    from indexer.models.load import start_text
    from indexer.settings import Settings

    text = start_text(Settings.load(clip_model=model, tasks="clip", device="cpu", cpu_threads=threads, _env_file=None))

    def ask(items: Sequence[str], at_once: int) -> list[Any]:
        batches = [items[start : start + at_once] for start in range(0, len(items), at_once)]
        return [vector for batch in batches for vector in text.encode_texts(batch, LANGUAGE)]

    return ask


def immich_image(model: str, threads: int) -> Ask:
    """As Immich's server does for a request, without HTTP. It chooses the number of threads itself."""
    from immich_ml.models.clip.visual import OpenClipVisualEncoder  # type: ignore[import-not-found]

    encoder = OpenClipVisualEncoder(Path(model).name, cache_dir=model)
    encoder.load()
    return _immichs(encoder.predict)


def immich_text(model: str, threads: int) -> Ask:
    """As `immich_image`."""
    from immich_ml.models.clip.textual import OpenClipTextualEncoder  # type: ignore[import-not-found]

    encoder = OpenClipTextualEncoder(Path(model).name, cache_dir=model)
    encoder.load()
    return _immichs(lambda text: encoder._predict(text, language=LANGUAGE))


def _immichs(predict: Callable[[Any], str]) -> Ask:
    from immich_ml.config import settings  # type: ignore[import-not-found]

    def ask(items: Sequence[Any], at_once: int) -> list[Any]:
        with ThreadPoolExecutor(min(at_once, settings.request_threads)) as pool:
            return [json.loads(vector) for vector in pool.map(predict, items)]

    return ask


SIDES: dict[str, Callable[[str, int], Ask]] = {
    "ours_image": ours_image,
    "ours_text": ours_text,
    "immich_image": immich_image,
    "immich_text": immich_text,
}


def memory(*processes: int) -> dict[str, int]:
    """The most memory that one of the processes and those they started has had, `model_mb`, and all, `peak_mb`.

    `processes`: their numbers; this one by default. `now_mb`: what all of them have now. Parts of files that several of
    them have in memory, such as libraries, count once in the last two.
    """
    folders = [Path("/proc") / str(process) for process in processes or (os.getpid(),)]
    for folder in folders:  # which grows meanwhile
        children = {child for task in (folder / "task").iterdir() for child in (task / "children").read_text().split()}
        folders += (Path("/proc") / child for child in children)
    states = [(folder / "status").read_text() for folder in folders]
    most, now = ([int(re.findall(rf"{name}:\s+(\d+)", state)[0]) for state in states] for name in ("VmHWM", "VmRSS"))
    parts: dict[str, list[int]] = {}
    for folder in folders:
        for part, size in _of_files(folder).items():
            parts.setdefault(part, []).append(size)
    twice = sum(sum(sizes) - max(sizes) for sizes in parts.values())
    return {
        "model_mb": max(most) // 1024,
        "peak_mb": (sum(most) - twice) // 1024,
        "now_mb": (sum(now) - twice) // 1024,
    }


def _of_files(process: Path) -> dict[str, int]:
    """KB of unchanged pages of files that a process has in memory, by the part of the file: see proc(5), `smaps`."""
    sizes: dict[str, int] = {}
    part = ""
    for line in (process / "smaps").read_text().splitlines():
        first, *rest = line.split()
        if not first.endswith(":"):
            part = " ".join(rest[1:4]) if rest[3] != "0" else ""  # offset, device and inode
        elif part and first in ("Shared_Clean:", "Private_Clean:"):
            sizes[part] = sizes.get(part, 0) + int(rest[0])
    return sizes


def main() -> None:
    """Serve until the end of standard input."""
    side, tower, model, threads = sys.argv[1:]
    ask = SIDES[f"{side}_{tower}"](model, int(threads))
    _say({})
    for line in sys.stdin:
        asked = json.loads(line)
        items = [Path(item).read_bytes() if tower == "image" else item for item in asked["items"]]
        start = time.perf_counter()
        vectors = ask(items, asked["at_once"])
        seconds = time.perf_counter() - start
        _say({"seconds": seconds, "vector": [float(number) for number in vectors[0]], **memory()})


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
