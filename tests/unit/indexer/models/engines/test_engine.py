"""An engine that fails: who is to blame, what becomes of the engine, and of whoever calls it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from structlog.testing import capture_logs

from indexer.errors import WeightsError
from indexer.models.engines.engine import Engine
from indexer.models.engines.host import GoneError
from indexer.models.engines.messages import CallError, Opened, lacks_memory
from indexer.models.engines.probe import TEXT, TextProbe
from indexer.models.engines.states import EngineAwayError, GuiltError, Phase
from indexer.models.scheduler import outcomes_of
from tests.support.hosts import QUICK, InThisProcess, Openings, hosted_text, until, until_ready
from tests.support.stubs import StubText, text_vector


class Text(StubText):
    """Does to the texts what `fault` says, which is given the number of the call, from 1, and the text."""

    def __init__(self, fault: Callable[[int, str], None] = lambda number, text: None) -> None:
        super().__init__()
        self.fault = fault
        self.number = 0
        self.asked: list[list[str]] = []

    def encode_texts(self, texts):
        self.asked.append(list(texts))
        for text in texts:
            self.number += 1
            self.fault(self.number, text)
        return super().encode_texts(texts)


@contextmanager
def started(openings: Callable[[str], InThisProcess], **options) -> Iterator[Engine]:
    engine = Engine("the model", openings, TextProbe(), **{"pace": QUICK} | options)
    engine.start()
    engine.settle(10)
    try:
        yield engine
    finally:
        engine.close()


def ask(engine: Engine, *texts: str) -> list:
    """A vector or an error for each, as the scheduler and the batcher ask."""
    return outcomes_of(lambda items: list(engine.call("encode_texts", list(items), items, lambda _: None)), texts)


def insist(engine: Engine, *texts: str) -> list:
    """The same, asked again for as long as it is away."""
    found = {}
    deadline = time.monotonic() + 20
    while left := [text for text in texts if text not in found]:
        for text, outcome in zip(left, ask(engine, *left), strict=True):
            if not isinstance(outcome, EngineAwayError):
                found[text] = outcome
        assert time.monotonic() < deadline, left
        until_ready(engine)
    return [found[text] for text in texts]


def are_right(texts: list[str], vectors: list) -> bool:
    return all(np.array_equal(vector, text_vector(text)) for text, vector in zip(texts, vectors, strict=True))


TEXTS = [f"照片 {number}" for number in range(24)]


def broken(*_: object) -> None:
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_it_answers_and_is_ready():
    with started(Openings(Text)) as engine:
        assert engine.state.phase is Phase.READY
        assert are_right(TEXTS, ask(engine, *TEXTS))
        assert engine.replaced == 0


def test_what_is_done_while_it_is_probed_is_not_proven_by_that():
    probing, go_on = threading.Event(), threading.Event()
    go_on.set()

    def fault(_: int, text: str) -> None:
        if text == TEXT:
            probing.set()
            assert go_on.wait(20)

    with started(Openings(lambda: Text(fault)), pace=replace(QUICK, probe=3600, late=20)) as engine:
        ask(engine, *TEXTS)
        probing.clear()
        go_on.clear()
        probe = threading.Thread(target=engine.prove)
        probe.start()
        assert probing.wait(20)
        meanwhile = time.monotonic()
        assert are_right(TEXTS, ask(engine, *TEXTS))
        go_on.set()
        probe.join()
        assert engine.proven < meanwhile
        engine.prove()
        assert engine.proven > meanwhile


def test_one_that_fails_for_all_is_replaced_and_nobody_is_blamed():
    """The fault stays for as long as its process: a fresh one takes eight texts more each time."""

    def from_the_eleventh_on(number: int, _: str) -> None:
        if number > 10:  # the first two are the probe
            broken()

    openings = Openings(lambda: Text(from_the_eleventh_on))
    with started(openings) as engine:
        assert are_right(TEXTS, [insist(engine, text)[0] for text in TEXTS])
        assert 2 <= engine.replaced <= 6
        assert len(openings.opened) == engine.replaced + 1


def test_the_reason_is_what_the_probe_met_and_no_bad_input():
    """The first call after it fell sick happens to be one that it could never take."""

    def fault(number: int, text: str) -> None:
        if text == "poison":
            raise RuntimeError("a text that it cannot take")
        if number > 2:  # the first two are the probe
            broken()

    with started(Openings(lambda: Text(fault)), pace=QUICK.__class__(first=60, longest=100)) as engine:
        [away] = ask(engine, "poison")
        assert isinstance(away, EngineAwayError)
        assert "illegal memory access" in away.reason
        assert "cannot take" not in engine.state.reason


def test_it_says_what_ails_it_since_when_and_when_it_is_tried_again():
    failing = True

    def fault(*_: object) -> None:
        if failing:
            broken()

    failing = False
    model = Text(fault)
    engine = hosted_text(model, pace=QUICK.__class__(first=60, longest=100)).engine
    engine.start()
    engine.settle(10)
    states = []
    engine.watch(lambda: states.append(engine.state.phase))
    failing = True
    (error,) = ask(engine, "a")
    assert isinstance(error, EngineAwayError)
    assert "illegal memory access" in str(error)
    assert 50 < error.retry_after <= 60
    state = engine.state
    assert (state.phase, states) == (Phase.SICK, [Phase.SICK])
    assert state.next_try is not None
    asked = model.number
    (error,) = ask(engine, "a")
    assert isinstance(error, EngineAwayError)
    assert model.number == asked, "it is left alone meanwhile"
    failing = False
    engine.wake()
    until_ready(engine)
    assert are_right(["a"], ask(engine, "a"))
    engine.close()
    (error,) = ask(engine, "b")
    assert isinstance(error, EngineAwayError)


def test_the_pauses_grow_and_the_trouble_has_one_beginning():
    openings = Openings(Text, fail=lambda _: RuntimeError("no driver"))
    with (
        capture_logs() as lines,
        started(openings, device="cuda", pace=QUICK.__class__(first=0.01, longest=0.04)) as engine,
    ):
        since = engine.state.since
        until(engine, lambda: len(openings.opened) > 5)
        assert [line["seconds"] for line in lines][:5] == [0.01, 0.02, 0.04, 0.04, 0.04]
        assert engine.state.since == since
        assert set(openings.opened) == {"cuda"}, "whoever asks for a GPU waits for it"


def test_a_text_that_it_cannot_take_is_to_blame_though_nothing_else_is_asked():
    def fault(_: int, text: str) -> None:
        if text == "poison":
            raise RuntimeError("a shape that it cannot take")

    model = Text(fault)
    with started(Openings(lambda: model)) as engine:
        found = ask(engine, "a", "poison", "b")
        assert isinstance(found[1], GuiltError)
        assert "a shape that it cannot take" in str(found[1])
        assert are_right(["a", "b"], [found[0], found[2]])
        assert model.asked.count(["poison"]) == 3
        assert model.asked.count([TEXT]) == 2 + 3, "twice when it is opened, and after each"
        assert (engine.state.phase, engine.replaced) == (Phase.READY, 0)


def test_one_that_fails_now_and_then_blames_nobody():
    def every_third(number: int, _: str) -> None:
        if number % 3 == 0:
            raise MemoryError if number % 2 else RuntimeError("unspecified launch failure")

    with started(Openings(lambda: Text(every_third))) as engine:
        assert are_right(TEXTS, insist(engine, *TEXTS))


def test_poison_is_found_in_one_that_fails_now_and_then():
    def fault(number: int, text: str) -> None:
        if number % 3 == 0 or text == "poison":
            raise RuntimeError("unspecified launch failure")

    with started(Openings(lambda: Text(fault))) as engine:
        found = insist(engine, *TEXTS[:5], "poison", *TEXTS[5:])
        assert isinstance(found.pop(5), GuiltError)
        assert are_right(TEXTS, found)


@pytest.mark.parametrize("rubbish", [np.nan, -1.0], ids=["no numbers", "another direction"])
def test_wrong_answers_are_found_by_the_next_probe(rubbish):
    wrong = threading.Event()

    class Rubbish(Text):
        def encode_texts(self, texts):
            vectors = super().encode_texts(texts)
            return vectors * rubbish if wrong.is_set() else vectors

    told = threading.Event()
    hosted = hosted_text(Rubbish())
    engine = hosted.engine
    engine.when_lost(lambda proven: told.set())
    engine.start()
    engine.settle(10)
    proven = engine.proven
    wrong.set()
    if np.isnan(rubbish):
        with pytest.raises(EngineAwayError, match="values that are not finite numbers"):
            hosted.encode_texts(["a"])
    else:
        hosted.encode_texts(["a"])
        assert told.wait(10)
        assert engine.proven == proven, "what was answered since then may be wrong"
        assert "its vector of a known input is wrong" in engine.state.reason
    assert engine.state.phase is Phase.SICK
    wrong.clear()
    until_ready(engine)
    assert are_right(["a"], list(hosted.encode_texts(["a"])))
    engine.close()


def test_one_that_hangs_is_ended_and_with_it_what_it_was_at():
    hang = threading.Event()
    release = threading.Event()

    def fault(*_: object) -> None:
        if hang.is_set():
            release.wait(30)

    with started(Openings(lambda: Text(fault))) as engine:
        hang.set()
        errors: list = []
        threads = [threading.Thread(target=lambda: errors.extend(ask(engine, "a"))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert [type(error) for error in errors] == [EngineAwayError] * 2
        assert "no answer within 0.3 s" in engine.state.reason
        hang.clear()
        release.set()
        assert are_right(["a", "b"], insist(engine, "a", "b")), "nobody is blamed for it"


def test_what_takes_long_is_waited_for_ten_times_as_long():
    patience = []

    class Patient(InThisProcess):
        def call(self, method, argument, patience_):
            patience.append(patience_)
            return super().call(method, argument, patience_)

    slow = Text(lambda number, text: time.sleep(0.05 if text == "slow" else 0))
    with started(lambda device: Patient(Opened(slow, "cpu"))) as e:
        ask(e, "slow")
        ask(e, "a")
        assert patience[-1] >= 0.5


def test_less_at_once_where_there_is_no_memory_and_more_again_later():
    class Cramped(Text):
        def encode_texts(self, texts):
            if len(texts) > 4:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return super().encode_texts(texts)

    with started(Openings(Cramped)) as engine:
        assert engine.most == 0
        assert are_right(TEXTS[:8], ask(engine, *TEXTS[:8]))
        assert engine.most == 4
        assert engine.replaced == 0


def test_nobody_is_blamed_for_want_of_memory():
    def fault(_: int, text: str) -> None:
        if text == "large":
            raise MemoryError

    with started(Openings(lambda: Text(fault))) as engine:
        for _ in range(8):
            (error,) = ask(engine, "large")
            assert isinstance(error, CallError)
            assert error.lacks_memory
        assert (engine.state.phase, engine.replaced) == (Phase.READY, 0)


def test_nobody_is_blamed_where_this_process_has_no_memory_to_ask():
    class Short(InThisProcess):
        def call(self, method, argument, patience):
            if "大" in str(argument):
                raise MemoryError
            return super().call(method, argument, patience)

    with started(lambda device: Short(Opened(Text(), "cpu"))) as engine:
        for _ in range(3):
            [large, small] = insist(engine, "大", "小")
            assert isinstance(large, MemoryError)
            assert are_right(["小"], [small])
        assert engine.replaced == 0


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("std::bad_alloc"),
    ],
    ids=str,
)
def test_no_memory_has_many_names(error):
    assert lacks_memory(error)
    assert not lacks_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))


class Dying(InThisProcess):
    """Ends at the text "poison", and at nothing else; `killed` as by the kernel."""

    killed = False

    def call(self, method, argument, patience):
        if "poison" in argument:
            self.ended.set()
            raise GoneError("its process ended with a SIGSEGV", killed=self.killed)
        return super().call(method, argument, patience)


def test_a_text_that_ends_the_process_is_blamed_alone():
    model = Text()
    with started(lambda device: Dying(Opened(model, "cpu"))) as e:
        found = insist(e, "a", "poison", "b")
        assert isinstance(found[1], GuiltError)
        assert "SIGSEGV" in str(found[1])
        assert are_right(["a", "b"], [found[0], found[2]])
        assert e.replaced == 3, "once in company, twice alone"


def test_one_that_is_killed_is_blamed_only_where_others_do_well_in_between():
    class Killed(Dying):
        killed = True

    with started(lambda device: Killed(Opened(Text(), "cpu"))) as engine:
        for _ in range(4):
            (error,) = ask(engine, "poison")
            assert isinstance(error, EngineAwayError)
            until_ready(engine)
        assert are_right(["a"], insist(engine, "a"))
        assert isinstance(insist(engine, "poison")[0], GuiltError)


# Where it runs


@pytest.mark.parametrize("wanted", ["auto", "openvino:GPU"])
def test_a_sick_gpu_is_left_for_the_processor_and_taken_up_again(wanted):
    sick = True

    def fail(device: str) -> Exception | None:
        return RuntimeError("CUDA error: no kernel image is available") if sick and device != "cpu" else None

    openings = Openings(Text, fail=fail, gpu=True)
    with started(openings, device=wanted) as engine:
        until_ready(engine)
        assert openings.opened[:4] == [wanted, wanted, wanted, "cpu"]
        assert engine.facts.device == "cpu"
        assert "no kernel image" in engine.state.reason
        assert are_right(TEXTS, ask(engine, *TEXTS))
        sick = False
        until(engine, lambda: engine.facts.device == "cuda")
        assert (engine.state.phase, engine.state.reason) == (Phase.READY, "")
        assert are_right(TEXTS, ask(engine, *TEXTS))


def test_a_gpu_is_right_where_it_answers_as_the_processor_does():
    class Wrong(Text):
        def encode_texts(self, texts):
            return -super().encode_texts(texts)

    models = iter([Wrong(), Text(), Wrong(), Wrong(), Text()])
    openings = Openings(lambda: next(models), gpu=True)
    with started(openings, device="auto") as engine:
        until_ready(engine)
        assert openings.opened == ["auto", "cpu", "auto", "auto", "cpu"], "the second tells what is right"
        assert "its vector of a known input is wrong" in engine.state.reason


# Weights


def test_it_waits_for_weights_and_is_woken():
    missing = "put the weights into /models"
    openings = Openings(Text)
    with started(openings, wanting=lambda: missing, pace=QUICK.__class__(weights=60)) as engine:
        assert (engine.state.phase, engine.state.reason) == (Phase.WAITING, missing)
        (error,) = ask(engine, "a")
        assert isinstance(error, EngineAwayError)
        assert missing in str(error)
        assert openings.opened == []
        missing = ""
        engine.wake()
        until_ready(engine)
        assert are_right(["a"], ask(engine, "a"))


def test_weights_that_are_damaged_are_waited_for_too():
    damaged = True
    openings = Openings(Text, fail=lambda _: WeightsError("ViT-B-16.pt is damaged") if damaged else None)
    with started(openings) as engine:
        assert (engine.state.phase, engine.state.reason) == (Phase.WAITING, "ViT-B-16.pt is damaged")
        damaged = False
        until_ready(engine)
