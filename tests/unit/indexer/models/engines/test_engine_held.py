"""An engine that is held: it could work, but is not to."""

import numpy as np
import pytest

from indexer.models.engines.states import EngineAwayError, Phase
from tests.support.hosts import hosted_text, until, until_ready
from tests.support.stubs import StubText


def test_it_ends_at_once_and_works_again_when_it_may():
    text = hosted_text(StubText())
    engine = text.engine
    lost = []
    engine.when_lost(lost.append)
    try:
        engine.start()
        until_ready(engine)
        before = text.encode_texts(["海边"])
        engine.hold("Immich's column is too narrow")
        until(engine, lambda: engine.state.phase is Phase.HELD)
        assert engine.state.reason == "Immich's column is too narrow"
        with pytest.raises(EngineAwayError, match="is held: Immich's column is too narrow"):
            text.encode_texts(["海边"])
        engine.hold("")
        until_ready(engine)
        np.testing.assert_array_equal(text.encode_texts(["海边"]), before)
        assert (engine.replaced, lost) == (0, []), "it was not sick: what it answered stays"
    finally:
        engine.close()


def test_one_that_is_held_from_the_start_is_not_opened():
    text = hosted_text(StubText())
    text.engine.hold("for a reason")
    try:
        text.engine.start()
        assert text.engine.settle(10).phase is Phase.HELD
        assert text.engine.facts is None
    finally:
        text.engine.close()
