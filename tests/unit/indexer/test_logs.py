"""Logs: readable for people and for machines, and without passwords in either form."""

import asyncio
import gc
import json
import logging
import re
import ssl
from collections.abc import Iterator

import asyncpg
import pytest
import structlog

from indexer import logs
from indexer.database.trouble import TROUBLE, explain
from indexer.errors import words_of

URL = "postgresql://immich:hunter2@db:5432/immich"
LEAKS = [
    URL,
    f"cannot connect to {URL}: refused",
    "postgresql://immich:hunter2@hunter2@db/immich",
    "postgresql://immich:hunter2/hunter2:hunter2@db/immich",
    "postgresql://:hunter2@db/immich",
    "postgresql://db/immich?user=a&password=hunter2&sslmode=disable",
    "host=db user=a PASSWORD=hunter2 dbname=immich",
]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("form", ["human", "json"])
@pytest.mark.parametrize("leak", LEAKS)
def test_no_password_is_logged(capsys, form, leak):
    logs.configure("debug", form)
    log = structlog.get_logger()
    log.info(leak, error=leak)
    try:
        dsn = leak
        raise RuntimeError(f"{dsn} is not there")
    except RuntimeError:
        log.exception("failed")
    text = capsys.readouterr().err
    assert "hunter2" not in text
    assert "***" in text
    assert "RuntimeError" in text


def test_machines_get_an_object_a_line(capsys):
    logs.configure("info", "auto")
    log = structlog.get_logger()
    log.debug("not this")
    log.info("indexed", photo="发票", count=3)
    log.warning("slow")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["event"], first["level"], first["photo"], first["count"]) == ("indexed", "info", "发票", 3)
    assert first["timestamp"].endswith("Z")
    assert second["level"] == "warning"


def test_people_get_text(capsys):
    logs.configure("warning", "human")
    log = structlog.get_logger()
    log.info("not this")
    log.error("something broke", photo="发票")
    (line,) = capsys.readouterr().err.splitlines()
    assert "something broke" in line
    assert "发票" in line


def test_nothing_goes_to_standard_output(capsys):
    logs.configure("debug", "json")
    structlog.get_logger().error("to the other stream")
    assert capsys.readouterr().out == ""


LOST = asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")


def test_what_libraries_log_has_our_form(capsys):
    logs.configure("info", "json")
    try:
        raise LOST
    except asyncpg.InternalClientError:
        logging.getLogger("asyncpg.pool").warning("Failed to restore the pool connection floor", exc_info=True)
    logging.getLogger("somebody").error("half of it: %s", URL)
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["level"], first["logger"]) == ("warning", "asyncpg.pool")
    assert first["event"] == "Failed to restore the pool connection floor"
    assert first["error"] == "the connection to the database ended: the server was restarted, or the line was cut"
    assert "Traceback" not in repr(first)
    assert second["level"] == "error"
    assert "hunter2" not in second["event"]


async def _fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(("error", "lines"), [(LOST, 0), (ConnectionResetError("reset"), 0), (ValueError("ours"), 1)])
async def test_tasks_that_a_lost_connection_leaves_behind_print_no_traceback(capsys, error, lines):
    """And what else went wrong in a task that nobody awaited is not lost."""
    logs.configure("info", "json")
    await asyncio.wait([asyncio.create_task(_fail(error))])
    del error
    gc.collect()
    await asyncio.sleep(0)
    found = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert len(found) == lines
    for line in found:
        assert (line["event"], line["level"]) == ("Task exception was never retrieved", "error")
        assert "ValueError: ours" in line["exception"]


@pytest.mark.parametrize(
    "error",
    [LOST, asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
     asyncpg.InterfaceError("connection is closed")],
)  # fmt: skip
def test_a_lost_connection_is_explained_in_words(error):
    assert explain(error) == "the connection to the database ended: the server was restarted, or the line was cut"


# What is raised where a line is cut, or nobody answers: many without a word.
CUT = (
    TimeoutError(),
    OSError(),
    ConnectionResetError(),
    ConnectionAbortedError(),
    ssl.SSLEOFError(),
    BrokenPipeError(),
)


@pytest.mark.parametrize("error", CUT, ids=repr)
def test_there_is_always_a_reason(error):
    said = re.fullmatch(r"cannot reach the database: (.*) \(check DB_HOSTNAME and DB_PORT, or DB_URL\)", explain(error))
    assert said
    assert said[1].strip()


def test_the_servers_errors_have_one_too():
    kinds = [kind for kind in vars(asyncpg.exceptions).values() if isinstance(kind, type) and issubclass(kind, TROUBLE)]
    assert len(kinds) > 200
    assert [kind for kind in kinds if re.search(r":\s*(\(|$)|^\s*(\(|$)", explain(kind("")))] == []


@pytest.mark.parametrize(
    ("error", "words"),
    [(TimeoutError(), "no answer in time"), (ConnectionResetError(), "the connection was cut"),
     (EOFError(), "it ends too early"), (ValueError(), "ValueError"), (ValueError(" said "), "said")],
)  # fmt: skip
def test_words_of_an_error_without_any(error, words):
    assert words_of(error) == words


def test_a_pool_that_cannot_connect_is_one_line_with_a_reason(capsys):
    """asyncpg's pool logs each try itself, with a traceback."""
    logs.configure("info", "json")
    try:
        raise TimeoutError
    except TimeoutError:
        logging.getLogger("asyncpg.pool").warning("Failed to restore the pool connection floor", exc_info=True)
    (line,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert line["error"] == "cannot reach the database: no answer in time (check DB_HOSTNAME and DB_PORT, or DB_URL)"
    assert "Traceback" not in repr(line)
