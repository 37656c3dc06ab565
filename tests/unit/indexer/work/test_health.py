"""When an engine is in doubt, who tries it, and when a photo is proven to be to blame."""

from uuid import UUID

from indexer.work.health import Health

BAD, GOOD, OTHER = (UUID(int=number) for number in range(3))


def test_a_photo_is_to_blame_only_where_a_well_engine_fails_on_it_again():
    engine = Health("the engine", ["clip"])
    assert not engine.failed(BAD, "an error")
    assert not engine.failed(BAD, "an error"), "nothing else was read meanwhile"
    engine.succeeded(GOOD)
    assert not engine.failed(OTHER, "an error")
    assert not engine.failed(BAD, "an error"), "the engine is in doubt"
    engine.succeeded(GOOD)
    assert engine.failed(BAD, "an error")
    assert engine.well
    assert engine.failed(BAD, "an error"), "once proven it needs no more proof"
    engine.succeeded(BAD)
    assert not engine.failed(BAD, "an error"), "that is over"


def test_one_photo_at_a_time_with_growing_pauses():
    now = 0.0
    engine = Health("the engine", ["clip"], now=lambda: now)
    engine.failed(BAD, "an error")
    engine.failed(OTHER, "an error")  # was under way already
    pauses = []
    for _ in range(12):
        pauses.append(engine.wait)
        assert not engine.due
        now += engine.wait
        assert engine.due
        engine.begin(GOOD)
        assert not engine.due
        assert engine.admits(GOOD)
        assert not engine.admits(OTHER)
        engine.failed(GOOD, "another error")
        engine.end(GOOD)
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert (engine.error, engine.well) == ("another error", False)
    engine.succeeded(GOOD)
    assert (engine.error, engine.well, engine.since) == ("", True, None)
    assert engine.admits(OTHER)


def test_nothing_is_proven_by_what_no_photo_is_guilty_of():
    engine = Health("the engine", ["clip"])
    for _ in range(3):
        assert not engine.failed(BAD, "no memory", provable=False)
        engine.succeeded(OTHER)
    assert not engine.failed(OTHER, "an error")
