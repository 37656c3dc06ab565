"""`python -m indexer.models.int8.make JOB FOLDER`: makes a model in int8, and says what was measured.

JOB is a JSON object: `root` (CLIP_DOWNLOAD_ROOT), `threads`, and either `clip`, a model as in the settings, or `ocr`,
the fields of `OcrSettings`. FOLDER contains previews of the person's own library: the first are for choosing the ranges
of the numbers, the others for comparing.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from indexer.errors import IndexerError, words_of
from indexer.models.int8.make_clip import make_clip
from indexer.models.int8.make_ocr import make_ocr
from indexer.models.int8.record import Record
from indexer.models.ocr.names import OcrSettings


def main(arguments: Sequence[str]) -> int:
    """The command. Writes what was measured, or why it cannot be made, on standard output. Returns its exit status."""
    job, folder = arguments
    os.nice(10)  # photos are read and searches answered meanwhile
    with suppress(OSError):  # where memory is too short for all, this is the process to end
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    pictures = [file.read_bytes() for file in sorted(Path(folder).iterdir())]
    try:
        print(_made(json.loads(job), pictures).sentence)  # noqa: T201 - for whoever started us
    except (IndexerError, OSError) as error:
        print(words_of(error))  # noqa: T201 - as above
        return 1
    return 0


def _made(job: Mapping[str, Any], pictures: Sequence[bytes]) -> Record:
    root, threads = Path(job["root"]), job["threads"]
    if "clip" in job:
        return make_clip(job["clip"], root, pictures, threads=threads)
    return make_ocr(OcrSettings(**job["ocr"]), root, pictures, threads=threads)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
