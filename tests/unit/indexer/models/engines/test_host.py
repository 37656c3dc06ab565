"""A model in a process of its own: what it is asked and answers, and how that process ends."""

import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from indexer.errors import PictureError, WeightsError
from indexer.models.engines import wire
from indexer.models.engines.host import GoneError, Host
from indexer.models.engines.messages import CallError, Setup
from tests.support import stub_hosted

PATIENCE = 20


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host(Setup(stub_hosted.crude, "cpu"), lanes=2, patience=PATIENCE)
    yield host
    host.close()


def is_alive(process: int) -> bool:
    """Not gone, and no zombie either."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_end(process: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while is_alive(process):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_arrays_come_back_as_they_went(host):
    for shape in [(3, 4), (0, 5), (), (1080, 1440, 3)]:
        values = np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)
        found = host.call("double", values, PATIENCE)
        assert np.array_equal(found, values * 2)
    turned = np.arange(12).reshape(3, 4).T  # lies otherwise in memory
    assert np.array_equal(host.call("double", turned, PATIENCE), turned * 2)
    assert (host.facts.name, host.facts.device, host.facts.note, host.facts.dimensions) == ("crude", "cpu", "a note", 3)


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    yield one, other
    one.close()
    other.close()


def test_arrays_go_through_shared_memory_and_not_through_the_socket(connection):
    one, other = connection
    file = wire.share()
    assert file is not None
    memory = wire.attach(os.dup(file))
    one.setblocking(False)  # what the socket does not take at once is an error
    for size in (1, 70, 2_000_000, 3):
        values = [np.arange(size, dtype=np.uint8), "text", np.arange(size, dtype=np.float32)]
        wire.send(one, values, file)
        found = wire.receive(other, memory)
        assert [np.array_equal(a, b) for a, b in zip(found, values, strict=True)] == [True] * 3
        assert all(array.flags.writeable and array.ctypes.data % 4 == 0 for array in (found[0][:4], found[2]))
        del found
    os.close(file)


@pytest.mark.parametrize("full", [False, True])
def test_what_finds_no_room_in_shared_memory_goes_through_the_socket(connection, full):
    one, other = connection
    file = wire.share()
    memory = wire.attach(os.dup(file))
    if full:  # the system has no memory left
        os.close(file)
        file = os.open("/dev/full", os.O_WRONLY)
    values = np.arange(1000 if full else 70 << 20, dtype=np.uint8)
    sending = threading.Thread(target=wire.send, args=(one, values, file))
    sending.start()
    assert np.array_equal(wire.receive(other, memory), values)
    sending.join()
    os.close(file)


def test_where_no_memory_is_shared_all_goes_through_the_sockets(monkeypatch):
    monkeypatch.setattr("indexer.models.engines.wire.share", lambda: None)
    host = Host(Setup(stub_hosted.crude, "cpu"), lanes=2, patience=PATIENCE)
    values = np.arange(3_000_000, dtype=np.float32)
    assert np.array_equal(host.call("double", values, PATIENCE), values * 2)
    host.close()


def test_nothing_stays_open_when_it_is_closed():
    before = list(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        host = Host(Setup(stub_hosted.crude, "cpu"), lanes=3, patience=PATIENCE)
        host.call("double", np.zeros(3), PATIENCE)
        host.close()
    deadline = time.monotonic() + PATIENCE
    while len(list(Path("/proc/self/fd").iterdir())) > len(before):  # the thread that reads its log closes that
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_message_that_there_is_no_memory_for_is_lost_and_the_next_one_comes(monkeypatch):
    one, other = socket.socketpair()
    room = np.empty

    def short(length: int, dtype: type) -> np.ndarray:
        if length > 100_000:
            raise MemoryError
        return room(length, dtype=dtype)

    monkeypatch.setattr("indexer.models.engines.wire.np.empty", short)
    sending = threading.Thread(target=lambda: [wire.send(one, np.zeros(size)) for size in (5, 300_000, 7)])
    sending.start()
    assert len(wire.receive(other)) == 5
    with pytest.raises(MemoryError):
        wire.receive(other)
    assert len(wire.receive(other)) == 7
    sending.join()
    one.close()
    other.close()


def test_a_child_that_has_no_memory_for_a_message_says_so_and_lives(host):
    process = host.call("process", None, PATIENCE)
    before = resource.prlimit(process, resource.RLIMIT_AS)
    used = int(Path(f"/proc/{process}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(process, resource.RLIMIT_AS, (used + (8 << 20), before[1]))
    with pytest.raises(CallError) as caught:
        host.call("double", np.zeros(8_000_000), PATIENCE)
    assert caught.value.lacks_memory
    resource.prlimit(process, resource.RLIMIT_AS, before)
    assert len(host.call("double", np.zeros(8_000_000), PATIENCE)) == 8_000_000
    assert host.call("process", None, PATIENCE) == process


def test_an_answer_that_cannot_be_sent_is_an_error(host):
    with pytest.raises(CallError, match="pickle"):
        host.call("answer_with_a_lock", None, PATIENCE)
    assert host.call("double", np.ones(1), PATIENCE) == 2


def test_a_models_process_has_no_more_than_it_needs():
    modules = "indexer.models.engines.child, indexer.models.clip.makers, indexer.models.openers"
    script = f"import sys, {modules}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "numpy" in loaded
    assert not {"asyncio", "asyncpg", "pydantic", "ssl", "structlog"}.intersection(loaded)


def test_what_was_needed_only_to_load_a_model_is_given_back():
    host = Host(Setup(stub_hosted.wasteful, "cpu"), lanes=1, patience=PATIENCE)
    status = Path(f"/proc/{host.call('process', None, PATIENCE)}/status").read_text()
    host.close()
    most, now = (int(re.findall(rf"{name}:\s+(\d+)", status)[0]) // 1024 for name in ("VmHWM", "VmRSS"))
    assert most > 256
    assert now < most - 200


def test_what_a_process_says_is_in_our_log_whatever_its_form():
    told = threading.Event()
    with capture_logs() as said:
        host = Host(Setup(stub_hosted.crude, "cpu"), lanes=1, patience=PATIENCE, name="the engine")
        host.when_it_ends(lambda _: told.set())
        host.call("say", "照片", PATIENCE)
        with pytest.raises(GoneError):
            host.call("end", signal.SIGABRT, PATIENCE)
        assert told.wait(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while len(said) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        host.close()
    assert {line["engine"] for line in said} == {"the engine"}
    found = [(line["event"], line["log_level"], line.get("text")) for line in said]
    assert found == [
        ("read 照片", "warning", None),
        ("照片 of a library", "warning", None),
        ("照片 of a warning", "warning", None),
        ("output of a model's process", "warning", "照片 as it is"),
    ]


def test_a_message_of_many_parts_goes_through_whole():
    one, other = socket.socketpair()
    arrays = [np.full(number % 7, number) for number in range(3000)]
    thread = threading.Thread(target=wire.send, args=(one, arrays))
    thread.start()
    found = wire.receive(other)
    thread.join()
    assert all(map(np.array_equal, arrays, found))
    one.close()
    with pytest.raises(EOFError):
        wire.receive(other)
    other.close()


def test_it_is_another_process_and_its_errors_are_told(host):
    assert host.call("process", None, PATIENCE) != os.getpid()
    with pytest.raises(CallError, match=r"^ValueError: odd$") as caught:
        host.call("fail", ValueError("odd"), PATIENCE)
    assert "in fail" in caught.value.trace
    assert not caught.value.lacks_memory
    with pytest.raises(CallError) as caught:
        host.call("fail", MemoryError(), PATIENCE)
    assert caught.value.lacks_memory
    with pytest.raises(PictureError, match="torn"):
        host.call("fail", PictureError("torn"), PATIENCE)


def test_calls_go_side_by_side(host):
    threads = [threading.Thread(target=host.call, args=("hang", 0.2, PATIENCE)) for _ in range(2)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began < 10  # of the test itself; side by side is what does not hang here


def test_one_that_does_not_answer_can_be_ended(host):
    process = host.call("process", None, PATIENCE)
    with pytest.raises(GoneError, match=r"no answer within 0.1 s"):
        host.call("hang", 3600, 0.1)
    failed: list[Exception] = []

    def ask() -> None:
        try:
            host.call("hang", 3600, PATIENCE)
        except GoneError as error:
            failed.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    host.close()
    thread.join(PATIENCE)
    assert failed[0].replaced
    wait_for_end(process)


@pytest.mark.parametrize(
    ("number", "text", "killed"), [(signal.SIGSEGV, "SIGSEGV", False), (signal.SIGKILL, "memory is short", True)]
)
def test_its_end_is_told(host, number, text, killed):
    told: list[str] = []
    ended = threading.Event()
    host.when_it_ends(lambda reason: (told.append(reason), ended.set()))
    with pytest.raises(GoneError, match=text) as caught:
        host.call("end", number, PATIENCE)
    assert (caught.value.killed, caught.value.replaced) == (killed, False)
    assert ended.wait(PATIENCE)
    assert text in told[0]


@pytest.mark.parametrize(
    ("open_it", "error", "text", "patience"),
    [
        (stub_hosted.missing, WeightsError, "no weights for cpu", PATIENCE),
        (stub_hosted.ending, GoneError, "status 3", PATIENCE),
        (stub_hosted.endless, GoneError, "no answer within 0.1 s", 0.1),
    ],
)
def test_one_that_cannot_be_opened(open_it, error, text, patience):
    with pytest.raises(error, match=text):
        Host(Setup(open_it, "cpu"), lanes=1, patience=patience)


PARENT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is started without
from indexer.models.engines.host import Host
from indexer.models.engines.messages import Setup
from tests.support import stub_hosted
host = Host(Setup(stub_hosted.crude, "cpu"), lanes=1, patience=20)
print(host.call("process", None, 20), flush=True)
host.call("hang", 3600, 3600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_its_parent(number):
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, cwd=Path.cwd()) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.send_signal(number)
        parent.wait(PATIENCE)
        wait_for_end(child)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_the_whole_group_is_sent_is_the_parents_to_handle(number):
    """Ctrl-C, and a service that systemd stops: a model that ended first would be taken for a sick one."""
    host = Host(Setup(stub_hosted.crude, "cpu"), lanes=1, patience=PATIENCE)
    try:
        os.kill(host.call("process", None, PATIENCE), number)
        assert host.call("process", None, PATIENCE)
    finally:
        host.close()
