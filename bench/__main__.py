"""`python -m bench NAME [--json] [--quick] [--url URL]`: run one benchmark, or `all` of them."""

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Protocol

from indexer import logs

NAMES = (
    *("queue", "write", "trigger", "pipeline", "reading", "faces", "text", "mixed", "memory"),
    *("fusion", "search", "facts", "sharpen", "width", "turn"),
)
ON_REQUEST = ("recall", "lexical", "models", "peers", "gpu")  # need a corpus, Immich's own server, or a GPU


class Benchmark(Protocol):
    """A module of this package."""

    NAME: str
    DESCRIPTION: str

    def run(self, options: argparse.Namespace) -> dict[str, object]:
        """Measure, and return the figures."""


def _load(name: str) -> Benchmark:
    benchmark: Benchmark = importlib.import_module(f"bench.{name}")
    return benchmark


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", choices=(*NAMES, *ON_REQUEST, "all"))
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: for a look, not for figures to quote")
    parser.add_argument("--url", help="a PostgreSQL server to measure on, as superuser; an embedded one otherwise")
    parser.add_argument("--clip", help="CLIP_MODEL for `pipeline` (else a ViT-B-16 of random weights) and `fusion`")
    parser.add_argument(
        "--device", default="auto", choices=("auto", "cpu", "cuda"), help="DEVICE for `pipeline` and `gpu`"
    )
    parser.add_argument("--corpus", type=Path, help="folder of text files for `recall` and `lexical`")
    parser.add_argument("--documents", type=int, default=1_000_000, help="how many `search` searches")
    parser.add_argument(
        "--assets", type=int, help="photos for `lexical` (50,000, a quarter with text) and `facts` (100,000)"
    )
    parser.add_argument("--widths", default="1536,1024,512", help="of Immich's column, for `lexical`")
    parser.add_argument("--dimensions", type=int, default=512, help="of the CLIP model, for `lexical`")
    parser.add_argument("--kinds", help="kinds of pictures for `reading`, between commas; all otherwise")
    parser.add_argument("--pictures", type=int, help="of each kind; `reading` 20, --quick 5, `peers` 3, --quick 1")
    parser.add_argument("--engine", choices=("rapidocr", "rapidocr-onnxruntime"), help="for `reading`; both otherwise")
    parser.add_argument("--packages", help="packages for `models`, between commas; all otherwise")
    parser.add_argument("--immich-ml", help="a Python that has Immich's machine-learning server")
    parser.add_argument("--mt-photos-ai", help="a Python that has the packages of mt-photos-ai, for `peers`")
    parser.add_argument("--mt-photos-ai-source", type=Path, help="the folder of its source")
    parser.add_argument("--seed", type=int, default=0, help="of the pictures of `peers`")
    options = parser.parse_args()
    logs.configure("error", "auto")
    figures: dict[str, object] = {}
    for name in NAMES if options.name == "all" else (options.name,):
        benchmark = _load(name)
        print(f"{name}: {benchmark.DESCRIPTION}", file=sys.stderr)
        result = benchmark.run(options)
        figures |= {name: result} if options.name == "all" else result
        if not options.json:
            for key, value in result.items():
                print(f"  {key}: {value}")
    if options.json:
        print(json.dumps(figures, ensure_ascii=False))


if __name__ == "__main__":
    main()
