"""Which photos are read again because the engine that read them may have been sick."""

from dataclasses import replace
from uuid import uuid4

from indexer.work.engines import Unproven
from tests.support.hosts import QUICK, hosted_text
from tests.support.stubs import StubText


def test_what_was_read_before_a_right_answer_to_a_probe_is_not_read_again():
    engine = hosted_text(StubText(), pace=replace(QUICK, well=3600)).engine
    engine.start()
    engine.settle(10)
    try:
        unproven, early, late = Unproven(engine), uuid4(), uuid4()

        def read() -> None:
            engine.call("encode_texts", ["猫"], ["猫"], lambda _: None)

        read()
        engine.prove()
        unproven.made(early)  # its result arrives after the probe has begun
        assert unproven.take(engine.proven) == ()
        read()
        unproven.made(late)
        assert unproven.take(engine.proven) == (late,)
        assert unproven.take(engine.proven) == ()
    finally:
        engine.close()
