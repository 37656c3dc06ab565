"""A picture that the indexer may be reading: the gateway waits for it while the database is busy."""

from collections.abc import Callable
from uuid import UUID, uuid4

from gateway.database import OccupiedError
from gateway.library import Stored
from gateway.metrics import Metrics
from gateway.ml.pictures import Pictures
from indexer.models.inference import Inference
from indexer.photos.lines import StoredLine

LINES = [StoredLine("发票", (0.1, 0.1, 0.9, 0.1, 0.9, 0.2, 0.1, 0.2), 0.9, 0.9)]


class BusyLibrary:
    """Has no time for the first two questions; then the indexer is found reading, and then done."""

    def __init__(self) -> None:
        self.asked = 0

    async def under_way(self, among: set[UUID] | None = None) -> set[UUID]:
        self.asked += 1
        if self.asked <= 2:
            raise OccupiedError("none of its connections was free")
        return among or {uuid4()}

    async def stored(self, *_: object) -> Stored:
        return Stored(lines=LINES) if self.asked >= 4 else Stored()


def not_to_be_called() -> Inference:
    raise AssertionError("the gateway computed what the indexer was about to")


def pictures(library: BusyLibrary, load: Callable[[], Inference]) -> Pictures:
    return Pictures(
        library,  # type: ignore[arg-type] # all that is asked of it
        Metrics(),
        tasks=("ocr",),
        clip_model=lambda: None,
        ocr_model="ocr",
        load=load,
        queue=1,
        wait=60,
        max_pixels=1,
    )


async def test_a_busy_database_says_nothing_of_the_indexer():
    library = BusyLibrary()
    assert await pictures(library, not_to_be_called).lines(b"a picture") == LINES
    assert library.asked == 4
