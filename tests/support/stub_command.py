"""`python -m tests.support.stub_command`: the command `immich-indexer run`, with quick models in their processes.

Besides the indexer's own settings it reads:
    STUB_PROBE   seconds between two probes
    STUB_MODELS  JSON: by task, `clip` and `ocr`, what its model does: the arguments of `stub_hosted.Faulty`
"""

import json
import os
from functools import partial

from indexer.cli.main import main
from indexer.models.engines.hosted import HostedClip, HostedOcr
from indexer.models.engines.lifecycle import Pace
from indexer.models.engines.probe import ImageProbe, LinesProbe
from indexer.models.load import Models
from indexer.work import worker
from indexer.work.pace import WorkerPace
from tests.support.hosts import process_of
from tests.support.stub_hosted import Faulty

PROBE = float(os.environ.get("STUB_PROBE", "0.3"))
PACE = Pace(first=0.05, longest=0.4, well=5, probe=PROBE, late=3, load=30, room=5)
SOONER = WorkerPace(idle=0.1, write=0.1, write_longest=0.4, release=0.2, doubt=0.05, doubt_longest=0.4)
"""What a worker waits for is the same, only sooner."""


def load_models(*_: object) -> Models:
    """As `indexer.models.load.load_models`, but that the models are stubs."""
    made = {
        task: Faulty(**{name: tuple(value) if isinstance(value, list) else value for name, value in options.items()})
        for task, options in json.loads(os.environ["STUB_MODELS"]).items()
    }
    clip = process_of(made["clip"], ImageProbe(), "the CLIP model", PACE)
    ocr = process_of(made["ocr"], LinesProbe(), "the OCR engine", PACE)
    for engine in (clip, ocr):
        engine.start()
    for engine in (clip, ocr):
        engine.settle(30)
    return Models(HostedClip(clip), HostedOcr(ocr))


if __name__ == "__main__":
    worker.load_models = load_models
    worker.serve = partial(worker.serve, pace=SOONER)
    main(["run"])
